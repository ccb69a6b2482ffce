"""Give responses an ETag, and answer 304 to whoever has the same response already."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import parse_http_date_safe
from rest_framework.views import APIView

if TYPE_CHECKING:
    from rest_framework.request import Request


class ConditionalResponseMixin(APIView):
    """Answer with 304 where the client has the same response already.

    The response is made all the same: this saves sending it, and the client's work.
    """

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final: Any = super().finalize_response(request, response, *args, **kwargs)
        # What a user may see depends on who is asking, so that no cache may share it.
        patch_vary_headers(final, ("Cookie", "Authorization"))
        if request.method not in ("GET", "HEAD") or final.streaming:
            return final
        # A response that is rendered later has no content to hash yet.
        if hasattr(final, "add_post_render_callback") and not final.is_rendered:
            final.add_post_render_callback(lambda rendered: make_conditional(request, rendered))
            return final
        return make_conditional(request, final)


def make_conditional(request: Request, response: HttpResponse) -> HttpResponseBase:
    """Give a response its ETag, or the client's copy in place of it."""
    if response.status_code != 200:
        return response
    if not response.has_header("Cache-Control"):
        response["Cache-Control"] = "private, no-cache"
    if not response.has_header("ETag"):
        response["ETag"] = make_etag(response)
    modified = parse_http_date_safe(response.get("Last-Modified", ""))
    conditional = get_conditional_response(
        request._request, etag=response["ETag"], last_modified=modified, response=response
    )
    if conditional is not None and response.has_header("Retry-After"):
        # Django drops this header of a 304, and when to ask again is news.
        conditional["Retry-After"] = response["Retry-After"]
    return conditional or response


def make_etag(response: HttpResponse) -> str:
    """Hash content and media type; weak, since middleware may still compress it."""
    digest = hashlib.blake2b(response.content, digest_size=16)
    digest.update(response.get("Content-Type", "").encode())
    return f'W/"{digest.hexdigest()}"'
