"""What an operator allows of notices."""

from msgspec import Struct


class NoticeSettings(Struct, frozen=True, kw_only=True):
    """`internal` are hosts, addresses and networks that are not public and may be told all the same. `smtp` is
    `smtp://host:25`, `smtps://...` or `smtp+starttls://user@host:587` with the password in `smtp_password`; mail comes
    from `mail_from` and goes to addresses of `mail_domains` alone, `*` for any."""

    internal: tuple[str, ...] = ()
    smtp: str = ""
    smtp_password: str = ""
    mail_from: str = ""
    mail_domains: tuple[str, ...] = ()
