"""Secrets leave a source before the source leaves the machine, and come back into what is returned.

Vendors' tokens, passwords by keyword and credentials in URLs are found by detect-secrets; the patterns here add what it
does not give whole: private keys over several lines, URLs with a user, e-mail addresses, tokens it knows only by their
beginning. When in doubt a string is taken for a secret: a redacted word costs a feature little.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from detect_secrets.core import scan
from detect_secrets.settings import transient_settings

_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector", "JwtTokenDetector",
    "KeywordDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PypiTokenDetector", "SendGridDetector",
    "SlackDetector", "SoftlayerDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)  # fmt: skip
_SHORTEST = 6
"""A finding below this is the beginning of a token, or a word: the patterns below find the whole."""
_PATTERNS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/\"'@]+@[^\s\"']+",  # the host of a credential is private too
    r"(?i)\b(?:server|host|data source)=[^\"'\n]*?(?:password|pwd)=[^;\"'\n]+",
    r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abposr]-|sk-|pk_live_|sk_live_|rk_live_|AIza|ya29\.|dop_v1_)[\w.-]{12,}",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{12,}",
    r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    r"(?<=[\"'])(?=[^\"'\n]*\d)(?=[^\"'\n]*[A-Za-z])[\w+/=-]{32,}(?=[\"'])",  # long strings of letters and digits
)
_ASSIGNED = re.compile(
    r"(?i)(?:passw(?:or)?d|passwd|pwd|secret|token|api_?key|access_?key|credential)\w*[\"'\]]*\s*[:=]\s*[rbf]?"
    r"(?P<quote>[\"'])(?P<value>[^\"'\n]+)(?P=quote)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text whose secrets are placeholders, and what each stands for."""

    text: str
    secrets: Mapping[str, str]

    def restore(self, text: str) -> str:
        """`text` with the secrets back in their places."""
        for placeholder, secret in self.secrets.items():
            text = text.replace(placeholder, secret)
        return text


def redact(text: str) -> Redacted:
    """Every secret that is found becomes a placeholder, the same one wherever the secret stands."""
    ordered_secrets = sorted(_found(text), key=lambda secret: (-len(secret), secret))  # a secret may hold a shorter one
    secrets: dict[str, str] = {}
    for secret in ordered_secrets:
        if secret in text:
            placeholder = _placeholder(len(secrets) + 1, text)
            secrets[placeholder] = secret
            text = text.replace(secret, placeholder)
    return Redacted(text=text, secrets=dict(reversed(secrets.items())))


def _placeholder(number: int, text: str) -> str:
    """REDACTED_n, with another stem where the text itself uses that one."""
    stem = "REDACTED"
    while f"{stem}_{number}_" in text:
        stem = f"X{stem}"
    return f"{stem}_{number}_"


def _found(text: str) -> set[str]:
    secrets = {match[0] for pattern in _PATTERNS for match in re.finditer(pattern, text, re.DOTALL)}
    secrets |= {match["value"] for match in _ASSIGNED.finditer(text)}
    with transient_settings({"plugins_used": [{"name": name} for name in _PLUGINS]}):
        findings = [finding.secret_value for line in text.splitlines() for finding in scan.scan_line(line)]
    secrets |= {value for value in findings if value and len(value) >= _SHORTEST and not value.isidentifier()}
    return {secret for secret in secrets if secret.strip()}
