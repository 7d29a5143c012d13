"""Which road a URL means. Each road's code is loaded when it is first taken.

So that the client starts without it.
"""

from urllib.parse import urlsplit

from taskforge_client.errors import NotConfigured
from taskforge_client.settings import ClientSettings
from taskforge_client.transport.base import Transport
from taskforge_client.transport.within import missing_extra


def open_transport(settings: ClientSettings) -> Transport:
    """Return the transport for the settings' URL; nothing is connected before its first call.

    Raises:
        NotConfigured: the URL's scheme is unknown, or what it needs is not installed.
    """
    scheme = urlsplit(settings.url).scheme
    if scheme in {"postgresql", "postgres"}:
        try:
            from taskforge_client.transport.postgres import PostgresTransport
        except ImportError as error:
            raise missing_extra(error) from None
        return PostgresTransport(settings.url, settings.project)
    if scheme in {"http", "https"}:
        from taskforge_client.transport.http import HttpTransport

        return HttpTransport(settings.url, settings.api_key)
    raise NotConfigured(
        f"the URL {settings.url!r} has the scheme {scheme!r}; expected postgresql, http or https"
    )
