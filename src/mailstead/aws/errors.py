"""Errors: our words for what is wrong, as the codes of SES v1 and v2.  Texts go through unchanged.

A table maps (class, kind) to a code; kind ``""`` is the class's default.  SES: wire §2 (v1), §3 (v2), §4, §6, §9.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailstead.aws.model import Operation
from mailstead.base.errors import (
    AlreadyExists,
    Closed,
    Conflict,
    Denied,
    Invalid,
    LimitExceeded,
    MailFromNotVerified,
    MailsteadError,
    NotFound,
    Paused,
    Rejected,
    Throttled,
    TooLarge,
    Unreachable,
)
from mailstead.proto.sigv4 import Reason


@dataclass(frozen=True, slots=True)
class Code:
    """What a door says: the word and the HTTP status."""

    word: str
    status: int = 400


class Refusal(Exception):
    """A request ends here with an error of the door's own (signature, unknown action, constraint…)."""

    def __init__(self, v1: Code, v2: Code, text: str) -> None:
        super().__init__(text)
        self.v1 = v1
        self.v2 = v2
        self.text = text


V1: dict[tuple[type[MailsteadError], str], Code] = {
    (NotFound, ""): Code("InvalidParameterValue"),
    (NotFound, "configuration-set"): Code("ConfigurationSetDoesNotExist"),
    (NotFound, "custom-verification-template"): Code("CustomVerificationEmailTemplateDoesNotExist"),
    (NotFound, "event-destination"): Code("EventDestinationDoesNotExist"),
    (NotFound, "identity"): Code("MessageRejected"),
    (NotFound, "rule"): Code("RuleDoesNotExist"),
    (NotFound, "rule-set"): Code("RuleSetDoesNotExist"),
    (NotFound, "sns-topic"): Code("InvalidSNSDestination"),
    (NotFound, "template"): Code("TemplateDoesNotExist"),
    (NotFound, "tracking-options"): Code("TrackingOptionsDoesNotExistException"),
    (AlreadyExists, ""): Code("AlreadyExists"),
    (AlreadyExists, "configuration-set"): Code("ConfigurationSetAlreadyExists"),
    (AlreadyExists, "custom-verification-template"): Code("CustomVerificationEmailTemplateAlreadyExists"),
    (AlreadyExists, "event-destination"): Code("EventDestinationAlreadyExists"),
    (AlreadyExists, "tracking-options"): Code("TrackingOptionsAlreadyExistsException"),
    (Invalid, ""): Code("InvalidParameterValue"),
    (Invalid, "cloudwatch-destination"): Code("InvalidCloudWatchDestination"),
    (Invalid, "configuration-set"): Code("InvalidConfigurationSet"),
    (Invalid, "constraint"): Code("ValidationError"),
    (Invalid, "custom-verification-content"): Code("CustomVerificationEmailInvalidContent"),
    (Invalid, "delivery-options"): Code("InvalidDeliveryOptions"),
    (Invalid, "firehose-destination"): Code("InvalidFirehoseDestination"),
    (Invalid, "from-not-verified"): Code("FromEmailAddressNotVerified"),
    (Invalid, "lambda-function"): Code("InvalidLambdaFunction"),
    (Invalid, "not-offered"): Code("UnsupportedOperation"),
    (Invalid, "policy"): Code("InvalidPolicy"),
    (Invalid, "rendering-attribute"): Code("MissingRenderingAttribute"),
    (Invalid, "rendering-parameter"): Code("InvalidRenderingParameter"),
    (Invalid, "s3-configuration"): Code("InvalidS3Configuration"),
    (Invalid, "sns-destination"): Code("InvalidSNSDestination"),
    (Invalid, "sns-topic"): Code("InvalidSnsTopic"),
    (Invalid, "template"): Code("InvalidTemplate"),
    (Invalid, "tracking-options"): Code("InvalidTrackingOptions"),
    (LimitExceeded, ""): Code("LimitExceeded"),
    (Throttled, ""): Code("Throttling"),
    (Denied, ""): Code("AccessDenied", 403),
    (Denied, "production-access"): Code("ProductionAccessNotGranted"),
    (Conflict, ""): Code("InvalidParameterValue"),
    (Conflict, "active-rule-set"): Code("CannotDelete"),
    (Paused, ""): Code("AccountSendingPausedException"),
    (Paused, "configuration-set"): Code("ConfigurationSetSendingPausedException"),
    (Paused, "enforcement"): Code("MessageRejected"),
    (Paused, "tenant"): Code("MessageRejected"),
    (Closed, ""): Code("MessageRejected"),
    (Closed, "not-subscribed"): Code("OptInRequired", 403),
    (Rejected, ""): Code("MessageRejected"),
    (MailFromNotVerified, ""): Code("MailFromDomainNotVerifiedException"),
    (TooLarge, ""): Code("InvalidParameterValue"),
    (Unreachable, ""): Code("ServiceUnavailable", 503),
}

V2: dict[tuple[type[MailsteadError], str], Code] = {
    (NotFound, ""): Code("NotFoundException", 404),
    (AlreadyExists, ""): Code("AlreadyExistsException"),
    (Invalid, ""): Code("BadRequestException"),
    (Invalid, "next-token"): Code("InvalidNextTokenException"),
    (Invalid, "not-offered"): Code("UnsupportedOperation"),
    (LimitExceeded, ""): Code("LimitExceededException"),
    (Throttled, ""): Code("TooManyRequestsException", 429),
    (Throttled, "daily"): Code("LimitExceededException"),
    (Denied, ""): Code("AccessDeniedException", 403),
    (Denied, "production-access"): Code("BadRequestException"),
    (Conflict, ""): Code("ConflictException", 409),
    (Conflict, "concurrent"): Code("ConcurrentModificationException", 500),
    (Paused, ""): Code("SendingPausedException"),
    (Closed, ""): Code("AccountSuspendedException"),
    (Closed, "not-subscribed"): Code("OptInRequired", 403),
    (Rejected, ""): Code("MessageRejected"),
    (MailFromNotVerified, ""): Code("MailFromDomainNotVerifiedException"),
    (TooLarge, ""): Code("BadRequestException"),
    (Unreachable, ""): Code("ServiceUnavailableException", 503),
}

SNS: dict[tuple[type[MailsteadError], str], Code] = {
    (NotFound, ""): Code("NotFound", 404),
    (NotFound, "resource"): Code("ResourceNotFound", 404),
    (Invalid, "not-offered"): Code("UnsupportedOperation"),
    (LimitExceeded, ""): Code("TopicLimitExceeded", 403),
    (LimitExceeded, "subscription"): Code("SubscriptionLimitExceeded", 403),
    (Throttled, ""): Code("Throttled", 429),
    (Denied, ""): Code("AuthorizationError", 403),
    (Closed, ""): Code("AuthorizationError", 403),
    (Unreachable, ""): Code("ServiceUnavailable", 503),
    (MailsteadError, ""): Code("InvalidParameter"),
}

QUERY = {"sns": SNS}
"""APIs of the Query form whose codes are not those of SES v1."""
INVALID = {"sns": Code("InvalidParameter")}
"""What they say of a breach of the model's constraints."""

# Codes that only some operations declare; the others say this instead (SES: wire §7).
ONLY_IF_DECLARED = {
    "InvalidNextTokenException": Code("BadRequestException"),
    "ConflictException": Code("BadRequestException"),
}

SIGNATURE: dict[Reason, tuple[Code, Code]] = {
    Reason.MISSING: (Code("MissingAuthenticationToken", 403), Code("MissingAuthenticationTokenException", 403)),
    Reason.INCOMPLETE: (Code("IncompleteSignature", 400), Code("IncompleteSignatureException", 403)),
    Reason.UNKNOWN_KEY: (Code("InvalidClientTokenId", 403), Code("UnrecognizedClientException", 403)),
    Reason.MISMATCH: (Code("SignatureDoesNotMatch", 403), Code("InvalidSignatureException", 403)),
    Reason.EXPIRED_TOKEN: (Code("ExpiredToken", 403), Code("ExpiredTokenException", 403)),
}

V1_FAILURE = Code("InternalFailure", 500)
V2_FAILURE = Code("InternalServiceErrorException", 500)
AWAY_TEXT = "The request has failed due to a temporary failure of the server."
FAILURE_TEXT = "The request processing has failed because of an unknown error, exception or failure."


def code_of(table: dict[tuple[type[MailsteadError], str], Code], error: MailsteadError) -> Code | None:
    """The code of an error by class and kind; a subclass counts as its nearest class in the table."""
    for cls in type(error).__mro__:
        found = table.get((cls, error.kind)) or table.get((cls, ""))
        if found is not None:
            return found
    return None


def query(error: MailsteadError, service: str) -> Code:
    """The code that a Query API says."""
    return code_of(QUERY.get(service, V1), error) or V1_FAILURE


def v2(error: MailsteadError, operation: Operation | None) -> Code:
    """The code that REST-JSON says: one that the operation declares, where there is a choice."""
    found = code_of(V2, error) or V2_FAILURE
    declared = operation.errors if operation is not None else frozenset()
    if found.word not in declared and found.word in ONLY_IF_DECLARED:
        return ONLY_IF_DECLARED[found.word]
    return found
