"""Images, as LlamaIndex and as the API have them. Nothing is fetched from anywhere but the disk."""

from __future__ import annotations

import base64
import binascii

import filetype  # pyright: ignore[reportMissingTypeStubs]
from llama_index.core.base.llms.types import ContentBlock, ImageBlock, TextBlock

from letta_adapters.wire import Base64Image, ImageContent, LettaImage, UrlImage

__all__ = ["CannotRead", "image_block", "image_content"]


class CannotRead(ValueError):
    """An image whose bytes cannot be had, or are none that a model takes."""


def image_content(block: object) -> ImageContent | None:
    """The image of a block; `None` for a block of another kind.

    An address goes to the server as it is; bytes, `data:` addresses and files go as base64.

    Raises:
        CannotRead: There is no image in it, or nobody can tell of which type it is.
    """
    if not isinstance(block, ImageBlock):
        return None
    url = str(block.url) if block.url is not None else None
    if block.image is None and block.path is None and url is not None and url.startswith(("http://", "https://")):
        return ImageContent(source=UrlImage(url=url))
    if url is not None and not url.startswith(("http://", "https://", "data:")):
        raise CannotRead(f"its address begins with {url.partition(':')[0]!r}, not with http, https or data.")
    try:
        data = block.resolve_image().read()
    except (OSError, ValueError, binascii.Error) as error:
        raise CannotRead(str(error)) from error
    mimetype = block.image_mimetype or _guessed(data)
    if mimetype is None:
        raise CannotRead("it has no `image_mimetype`, and its bytes do not tell.")
    return ImageContent(
        source=Base64Image(media_type=mimetype, data=base64.b64encode(data).decode(), detail=block.detail)
    )


def image_block(part: ImageContent) -> ContentBlock:
    """An image as a block; one that the server keeps for itself as a text that names it."""
    match part.source:
        case UrlImage(url=url):
            return ImageBlock(url=url)
        case Base64Image(data=data, media_type=media_type, detail=detail):
            return ImageBlock(image=data.encode(), image_mimetype=media_type, detail=detail)
        case LettaImage(data=str(data), media_type=media_type, detail=detail):
            return ImageBlock(image=data.encode(), image_mimetype=media_type, detail=detail)
        case LettaImage(file_id=file_id):
            return TextBlock(text=f"[image {file_id}]")


def _guessed(data: bytes) -> str | None:
    kind = filetype.guess(data)  # pyright: ignore[reportUnknownMemberType]
    return str(kind.mime) if kind is not None else None  # pyright: ignore[reportUnknownArgumentType]
