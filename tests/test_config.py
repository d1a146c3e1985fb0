"""Configuration: every source and their order, unknown names, bad values, what --dev changes, the reference page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailstead.base.clock import DAY, HOUR, MINUTE
from mailstead.config import (
    KEYS,
    ConfigError,
    HostedDomain,
    Listen,
    Settings,
    Source,
    load,
    running,
    text_of_duration,
    text_of_size,
    values,
)
from peers.ground import lacking
from peers.outcome import outcome

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ROOT.parent / "shared" / "product.md"


def at(settings: Settings, key: str) -> object:
    about = KEYS[key]
    return getattr(getattr(settings, about.section) if about.section else settings, about.attribute)


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mailstead.toml"
    path.write_text(text)
    return path


def refusal(*sets: str, **sources: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(sets=sets, **sources)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value.message


# -- defaults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("regions", ("us-east-1",)),
        ("verification", "dns"),
        ("shutdown_grace", 10_000),
        ("listen.api", (Listen("127.0.0.1", 4579),)),
        ("listen.dns", ()),
        ("delivery.mode", "capture"),
        ("delivery.port", 25),
        ("delivery.retry_for", 840 * MINUTE),
        ("delivery.allow_private_hosts", False),
        ("dns.resolver", "system"),
        ("provider.domain", "mailstead.invalid"),
        ("limits.message_bytes", 10_485_760),
        ("limits.v2_message_bytes", 41_943_040),
        ("limits.submission_idle", 60_000),
        ("limits.bare_newline", "normalize"),
        ("suppression.global", "always"),
        ("hosted.domains", ()),
        ("submission.trusted", ()),
    ],
)
def test_defaults_are_those_of_the_contract(key: str, value: object) -> None:
    assert at(load(), key) == value


def test_the_sandbox_is_the_default_quota() -> None:
    quota = load().quota.new_account
    assert (quota.max_24h, quota.max_rate, quota.production) == (200, 1, False)


def test_places_are_below_the_data_directory(tmp_path: Path) -> None:
    settings = load(data=tmp_path)
    assert settings.storage.database == f"sqlite:{tmp_path}/mailstead.db"
    assert settings.storage.blobs == f"file:{tmp_path}/blobs"
    assert settings.tls.certificate == f"{tmp_path}/tls/cert.pem"


def test_every_setting_that_the_contract_names_exists() -> None:
    if not PRODUCT.exists():
        lacking("the contract is not beside this checkout (../shared/product.md)")
    text = PRODUCT.read_text()
    sections = "server|storage|delivery|dns|provider|limits|quota|suppression|events|scan|inbound|hosted|aws|submission"
    named = set(re.findall(rf"`((?:{sections}|listen|tls|tracking|secrets|dev)\.[a-z0-9_]+)`", text))
    assert len(named) > 25
    assert named - set(KEYS) - {"aws.sns_cert_url"} == set()


# -- sources and their order -------------------------------------------------------------------------------------------


def test_later_sources_win(tmp_path: Path) -> None:
    file = toml(tmp_path, '[delivery]\nport = 1\nretry_for = "1h"\nconnections = 7\n')
    environ = {"MAILSTEAD_DELIVERY_PORT": "2", "MAILSTEAD_DELIVERY_RETRY_FOR": "2h"}
    settings = load(
        file, environ, ["delivery.port=3"], base={"delivery.connections": 5, "delivery.connection_messages": 9}
    )
    assert (settings.delivery.port, settings.delivery.retry_for) == (3, 2 * HOUR)
    assert (settings.delivery.connections, settings.delivery.connection_messages) == (7, 9)


def test_the_last_of_several_sets_wins() -> None:
    assert load(sets=["delivery.port=3", "delivery.port=4"]).delivery.port == 4


def test_the_environment_names_file_and_data_and_options_win_over_it(tmp_path: Path) -> None:
    file = toml(tmp_path, 'regions = ["eu-west-1", "us-east-1"]\n')
    environ = {"MAILSTEAD_CONFIG": str(file), "MAILSTEAD_DATA": str(tmp_path / "a"), "PATH": "/bin"}
    assert load(environ=environ).regions == ("eu-west-1", "us-east-1")
    assert load(environ=environ).data == tmp_path / "a"
    assert load(environ=environ, data=tmp_path / "b").data == tmp_path / "b"


def test_top_level_keys_come_from_the_environment() -> None:
    assert load(environ={"MAILSTEAD_REGIONS": "eu-west-1, us-east-1"}).regions == ("eu-west-1", "us-east-1")


def test_lists_are_arrays_or_words_with_commas(tmp_path: Path) -> None:
    wanted = (HostedDomain("a.example"), HostedDomain("b.example", "123456789012"))
    file = toml(tmp_path, '[hosted]\ndomains = ["a.example", "B.example=123456789012"]\n')
    assert load(file).hosted.domains == wanted
    assert load(sets=["hosted.domains=a.example, b.example=123456789012"]).hosted.domains == wanted


def test_sources_are_addresses_with_a_pool_and_a_name() -> None:
    wanted = (Source("news", "192.0.2.25", "mail1.example.com"), Source("b", "2001:db8::1", "mail2.example.com"))
    assert (
        load(
            sets=["delivery.sources=news:192.0.2.25=Mail1.example.com, b:[2001:DB8::1]=mail2.example.com"]
        ).delivery.sources
        == wanted
    )
    assert (
        load(
            sets=["delivery.sources=news:192.0.2.25=mail1.example.com,b:2001:db8::1=mail2.example.com"]
        ).delivery.sources
        == wanted
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("127.0.0.1:0", (Listen("127.0.0.1", 0),)),
        ("[::1]:587,192.0.2.1:587", (Listen("::1", 587), Listen("192.0.2.1", 587))),
        ("https://0.0.0.0:443", (Listen("0.0.0.0", 443, tls=True),)),
        ("off", ()),
    ],
)
def test_listeners(text: str, value: tuple[Listen, ...]) -> None:
    assert load(sets=[f"listen.api={text}"]).listen.api == value


def test_a_smarthost_with_a_password_does_not_show_it() -> None:
    settings = load(sets=["delivery.mode=relay", "delivery.smarthost=smtps://me:s3cr%40t@10.0.0.1"])
    host = settings.delivery.smarthost
    assert host is not None
    assert (host.host, host.port, host.implicit_tls, host.username, host.password) == (
        "10.0.0.1",
        465,
        True,
        "me",
        "s3cr@t",
    )
    assert "s3cr" not in repr(settings) + repr(host)


def test_secrets_are_not_shown() -> None:
    settings = load(sets=["secrets.master_key=abcdefgh", "storage.database=postgresql://u:hidden@h/d"])
    assert "abcdefgh" not in repr(settings)
    assert "hidden" not in repr(settings)


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "sources"),
    [
        ("did you mean delivery.retry_for?", {"sets": ["delivery.retry_fro=1h"]}),
        ("did you mean MAILSTEAD_DELIVERY_MODE?", {"environ": {"MAILSTEAD_DELIVERY_MOD": "direct"}}),
        ("did you mean MAILSTEAD_DATA?", {"environ": {"MAILSTEAD_DATE": "x"}}),
        ("did you mean regions?", {"sets": ["region=us-east-1"]}),
        ("write it as key=value", {"sets": ["delivery.port"]}),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(message: str, sources: dict[str, object]) -> None:
    assert message in refusal(**sources) if "sets" not in sources else message in refusal(*sources["sets"])  # type: ignore[misc]


def test_an_unknown_name_in_the_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    assert "did you mean delivery.port?" in refusal(file=toml(tmp_path, "[delivery]\nprot = 1\n"))
    assert "did you mean delivery?" in refusal(file=toml(tmp_path, "[delivry]\nport = 1\n"))
    assert "is not TOML" in refusal(file=toml(tmp_path, "[delivery\n"))
    assert "cannot read the configuration" in refusal(file=tmp_path / "none.toml")


@pytest.mark.parametrize(
    "bad",
    [
        "delivery.mode=carrier-pigeon",
        "delivery.port=0",
        "delivery.port=65536",
        "delivery.port=ten",
        "delivery.retry_for=soon",
        "delivery.retry_for=10",
        "delivery.retry_for=",
        "limits.message_bytes=many",
        "limits.message_bytes=-1",
        "listen.api=127.0.0.1",
        "listen.mx=https://127.0.0.1:25",
        "listen.mx=127.0.0.1:99999",
        "regions=",
        "regions=US EAST",
        "dns.resolver=resolver.example",
        "hosted.domains=exa mple",
        "hosted.domains=a.example=12",
        "delivery.sources=192.0.2.25",
        "delivery.sources=news:192.0.2.25",
        "delivery.sources=news:192.0.2.25=",
        "delivery.sources=news:192.0.2=mail.example.com",
        "delivery.sources=news:0.0.0.0=mail.example.com",
        "delivery.sources=ne ws:192.0.2.25=mail.example.com",
        "delivery.sources=:192.0.2.25=mail.example.com",
        "delivery.sources=news:192.0.2.25=mail 1",
        "delivery.sources=a:192.0.2.25=a.example,b:192.0.2.25=b.example",
        "submission.trusted=10.0.0.0/8",
        "submission.trusted=10.0.0.0/99=000000000000",
        "storage.bucket_accounts=lists",
        "storage.bucket_accounts=lists=1",
        "storage.bucket_accounts=LISTS=000000000000",
        "events.allow_private_targets=perhaps",
        "quota.new_account=lots",
        "dev.account=1",
        "delivery.smarthost=http://x",
        "storage.database=mysql://x",
        "roles=api,cook",
        "inbound.spf_fail=explode",
    ],
)
def test_a_bad_value_names_the_key_and_what_is_allowed(bad: str) -> None:
    message = refusal(bad)
    assert message.startswith(bad.partition("=")[0] + ": ")
    assert "; allowed: " in message


def test_a_bad_secret_is_not_repeated() -> None:
    assert "hunter2" not in refusal("delivery.smarthost=smtp://me:hunter2@:x")


@pytest.mark.parametrize("value", ["1", "[]", "{ a = 1 }", "1.5", "2024-01-01", "true", "[[1]]"])
@pytest.mark.parametrize("key", sorted(KEYS))
def test_any_toml_value_is_taken_or_refused_plainly(tmp_path: Path, key: str, value: str) -> None:
    try:
        load(toml(tmp_path, f"{key} = {value}\n"))
    except ConfigError as error:
        told = error.message
        assert key.partition(".")[0] in told or "needs" in told


def test_direct_needs_a_provider_domain() -> None:
    assert "provider.domain" in refusal("delivery.mode=direct")
    assert load(sets=["delivery.mode=direct", "provider.domain=mail.example"]).provider.is_set


@pytest.mark.parametrize("host", ["127.0.0.1:2526", "10.1.2.3:25", "[::1]:25", "localhost:25", "relay.internal:25"])
def test_a_private_smarthost_needs_none(host: str) -> None:
    assert not load(sets=["delivery.mode=relay", f"delivery.smarthost={host}"]).provider.is_set


@pytest.mark.parametrize("host", ["smtp.example.com:587", "198.41.0.4:25"])
def test_a_public_smarthost_needs_one(host: str) -> None:
    assert "provider.domain" in refusal("delivery.mode=relay", f"delivery.smarthost={host}")


def test_relay_needs_a_smarthost() -> None:
    assert "delivery.smarthost" in refusal("delivery.mode=relay")


def test_sqlite_is_one_process() -> None:
    assert "one process" in refusal("workers.processes=2")


# -- the test double ---------------------------------------------------------------------------------------------------


def test_dev_changes_defaults() -> None:
    settings = load(dev=True)
    assert settings.delivery.mode == "capture"
    assert settings.verification == "auto"
    assert settings.delivery.allow_private_hosts
    assert settings.events.allow_private_targets
    assert settings.quota.new_account.max_24h == -1
    assert settings.scan.clamd == settings.scan.rspamd == "off"
    assert settings.serves("ap-northeast-9")
    assert not load().serves("ap-northeast-9")
    assert settings.warnings == ()


def test_what_is_set_by_hand_holds_under_dev_and_real_delivery_is_warned_about() -> None:
    sets = ["delivery.mode=direct", "provider.domain=mail.example", "verification=dns", "quota.new_account=5/day,1/s"]
    settings = load(sets=sets, dev=True)
    assert (settings.delivery.mode, settings.verification, settings.quota.new_account.max_24h) == ("direct", "dns", 5)
    assert "delivery.mode = direct" in settings.warnings[0]


def test_buckets_have_accounts() -> None:
    told = "lists=111111111111, more.lists =222222222222"
    wanted = (("lists", "111111111111"), ("more.lists", "222222222222"))
    assert load(sets=[f"storage.bucket_accounts={told}"]).storage.bucket_accounts == wanted


def test_auto_means_off_under_dev() -> None:
    assert load(sets=["scan.clamd=auto"], dev=True).scan.clamd == "off"
    assert load(sets=["scan.clamd=/run/clamd.sock"], dev=True).scan.clamd == "/run/clamd.sock"


def test_settings_without_effect_yet_are_told() -> None:
    assert load(sets=["aws.sqs_endpoint=http://x", "delivery.port=2525"]).unused == ("aws.sqs_endpoint",)


# -- doors left open by a slip -----------------------------------------------------------------------------------------

RELAY = ("delivery.mode=relay", "delivery.smarthost=127.0.0.1:25")


@pytest.mark.parametrize(
    "listen", ["api=0.0.0.0:4579", "submission=[::]:587", "submissions=192.0.2.1:465", "api=a.test:80"]
)
def test_dev_is_no_open_relay(listen: str) -> None:
    text = refusal(f"listen.{listen}", *RELAY, dev=True)
    assert text.startswith("--dev with delivery.mode = relay and listen.")
    assert "is an open relay" in text


@pytest.mark.parametrize(
    "sets", [(), ("listen.api=127.0.0.2:1,[::1]:1,localhost:1",), ("listen.mx=0.0.0.0:25",),
             ("listen.api=0.0.0.0:1", "roles=delivery")]
)  # fmt: skip
def test_dev_that_relays_for_this_machine_alone_is_let_be(sets: tuple[str, ...]) -> None:
    assert len(load(sets=[*sets, *RELAY], dev=True).warnings) == 1


def test_dev_open_to_other_machines_is_warned_about() -> None:
    (warning,) = load(sets=["listen.api=0.0.0.0:4579"], dev=True).warnings
    assert warning == "--dev lets everybody in, and other machines reach listen.api = 0.0.0.0:4579"
    assert load(sets=["listen.api=0.0.0.0:4579", *RELAY]).warnings == ()


@pytest.mark.parametrize("network", ["8.8.8.0/24", "0.0.0.0/1", "100.64.0.0/10", "2000::/3", "::/1", "10.0.0.0/7"])
def test_a_public_network_that_is_trusted_is_named(network: str) -> None:
    settings = load(sets=[f"submission.trusted=10.0.0.0/8=000000000000,{network}=000000000000"])
    (warning,) = settings.warnings
    assert warning.startswith(f"submission.trusted: {network} is a public network")


@pytest.mark.parametrize("network", ["127.0.0.0/8", "192.168.0.0/16", "169.254.0.0/16", "fd00::/8", "fe80::/10", "::1"])
def test_our_own_ground_may_be_trusted(network: str) -> None:
    assert load(sets=[f"submission.trusted={network}=000000000000"]).warnings == ()


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "192.0.2.1/0"])
def test_everybody_is_not_trusted(network: str) -> None:
    assert "is everybody" in refusal(f"submission.trusted={network}=000000000000")


def test_proxy_headers_do_not_seem_to_work() -> None:
    assert refusal("listen.proxy_trusted=10.0.0.0/8").startswith("listen.proxy_trusted: the PROXY protocol is not")
    assert load(sets=["listen.proxy_trusted="]).listen.proxy_trusted == ()


# -- durations and sizes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("14h", 14 * HOUR), ("10s", 10_000), ("90m", 90 * MINUTE), ("2d", 2 * DAY), ("250ms", 250), ("5 min", 5 * MINUTE),
     ("1h30m", 90 * MINUTE), ("1h 30m", 90 * MINUTE), ("0", 0), ("0.5s", 500), ("1w", 7 * DAY)],
)  # fmt: skip
def test_durations(text: str, milliseconds: int) -> None:
    assert values.duration.read(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("10MiB", 10 << 20), ("10 MB", 10_000_000), ("40MiB", 41_943_040), ("512KiB", 512 << 10), ("1kb", 1000),
     ("77", 77), ("1.5MiB", 3 << 19), ("1GiB", 1 << 30), ("5B", 5)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert values.size.read(text) == size


@given(st.integers(0, 36_500 * DAY))
def test_a_duration_reads_as_it_is_written(milliseconds: int) -> None:
    assert values.duration.read(text_of_duration(milliseconds)) == milliseconds


@given(st.integers(0, (1 << 53) - 1))
def test_a_size_reads_as_it_is_written(size: int) -> None:
    assert values.size.read(text_of_size(size)) == size


@given(st.text(max_size=40), st.sampled_from(sorted(KEYS)))
@example("[", "listen.api")
@example("smtp://[", "delivery.smarthost")
@example("http://[", "tracking.public_url")
@example("²", "delivery.port")
def test_any_text_is_taken_or_refused_plainly(text: str, key: str) -> None:
    found = outcome(lambda: load(sets=[f"{key}={text}"]), ConfigError)
    if isinstance(found, ConfigError):
        assert found.message
        assert "\n" not in found.message
    else:
        assert isinstance(found, Settings)


# -- the running server, the page --------------------------------------------------------------------------------------


def test_commands_learn_what_the_server_was_given(tmp_path: Path) -> None:
    settings = load(sets=["delivery.port=2525", "secrets.master_key=k"], data=tmp_path)
    running.write(settings)
    assert (tmp_path / "running.json").stat().st_mode & 0o777 == 0o600
    with running.hold(tmp_path) as held:
        found = running.read(tmp_path)
    assert held
    assert found is not None
    assert found.pid == os.getpid()
    again = load(data=tmp_path, base=found.given)
    assert (again.delivery.port, again.secrets.master_key) == (2525, "k")
    running.remove(settings)
    assert running.read(tmp_path) is None


def test_a_killed_server_is_not_running(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    (tmp_path / "running.json").write_text(f'{{"pid": {int(child.stdout)}, "given": {{}}}}')
    assert running.read(tmp_path) is None  # it never took the lock
    with running.hold(tmp_path):
        (tmp_path / "running.json").write_text("[")
        assert running.read(tmp_path) is None
    (tmp_path / "running.json").write_text(f'{{"pid": {os.getpid()}, "given": {{}}}}')
    assert running.read(tmp_path) is None  # the lock has gone with its process, whoever has its number now


def test_the_reference_page_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_configuration_page.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
