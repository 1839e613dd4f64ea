"""Which certificates an HTTP client trusts; reading those of the system takes it 0.1 s."""

import ssl

# For plain http, where none is ever shown: it trusts nobody.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def certificates_for(url: str) -> ssl.SSLContext | bool:
    """What `verify` of httpx should be for an address: the system's, unless it is plain http."""
    return NO_CERTIFICATES if url.startswith("http://") else True
