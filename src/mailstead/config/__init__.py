"""Configuration: typed settings from a file, the environment and the command line."""

from mailstead.config.outgoing import Source
from mailstead.config.settings import KEYS, ROLES, SECTIONS, Key, Settings
from mailstead.config.sources import ConfigError, data_directory, load
from mailstead.config.values import HostedDomain, Listen, Smarthost, TrustedNetwork, text_of_duration, text_of_size

__all__ = [
    "KEYS",
    "ROLES",
    "SECTIONS",
    "ConfigError",
    "HostedDomain",
    "Key",
    "Listen",
    "Settings",
    "Smarthost",
    "Source",
    "TrustedNetwork",
    "data_directory",
    "load",
    "text_of_duration",
    "text_of_size",
]
