"""Signs a PDF with pyHanko's CSC client; the order is a line of JSON on standard input."""

import asyncio
import json
import ssl
import sys

import aiohttp
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, PdfSigner
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers.csc_signer import (
    CSCAuthorizationManager,
    CSCServiceSessionInfo,
    CSCSigner,
    fetch_certs_in_csc_credential,
)


class PinAndCode(CSCAuthorizationManager):
    """Approves the hashes with the holder's PIN and code."""

    def __init__(self, session, order, *arguments):
        super().__init__(*arguments)
        self.session, self.order = session, order

    async def authorize_signature(self, hash_b64s):
        request = self.format_csc_auth_request(
            pin=self.order["pin"], otp=self.order["otp"], hash_b64s=hash_b64s
        )
        url = self.csc_session_info.endpoint_url("credentials/authorize")
        async with self.session.post(url, headers=self.auth_headers, json=request) as answer:
            answer.raise_for_status()
            return self.parse_csc_auth_response(await answer.json())


async def main():
    order = json.loads(sys.stdin.readline())
    service = CSCServiceSessionInfo(order["url"], order["credential"], oauth_token=order["token"], api_ver=order["api"])
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=order["cacert"]))
    async with aiohttp.ClientSession(connector=trust) as session:
        credential = await fetch_certs_in_csc_credential(session, service)
        approval = PinAndCode(session, order, service, credential)
        signer = CSCSigner(session, approval, prefer_pss=order["pss"])
        metadata = PdfSignatureMetadata(
            field_name="Signature", md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES
        )
        with open(order["input"], "rb") as document, open(order["output"], "wb") as signed:
            writer = IncrementalPdfFileWriter(document)
            await PdfSigner(metadata, signer).async_sign_pdf(writer, output=signed)


asyncio.run(main())
