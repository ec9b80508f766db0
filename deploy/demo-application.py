#!/usr/bin/env python3
"""The demo's application: has its user asked, in his browser, to sign a document (OAuth code flow with PKCE, CSC API v2 8.4), and signs it.

demo-application.py PORT SERVICE CERTIFICATE SECRET-FILE CREDENTIAL-FILE DOCUMENT
"""
import base64
import hashlib
import html
import http.server
import json
import secrets
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

PORT, SERVICE, CERTIFICATE, SECRET, CREDENTIAL, DOCUMENT = sys.argv[1:]
BACK = f"http://127.0.0.1:{PORT}/back"
SHA256, ECDSA = "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"
WAITING = {}


def read(path, mode="r"):
    with open(path, mode) as file:
        return file.read()


def url_safe(octets):
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def ask():
    """The URL that a browser begins at: everything that is to be approved is in it."""
    state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    details = json.dumps([{
        "type": "https://cloudsignatureconsortium.org/2025/credential",
        "credentialID": read(CREDENTIAL).strip(),
        "documentDigests": [{"hash": base64.b64encode(digest()).decode(), "label": "contract.pdf"}],
        "hashAlgorithmOID": SHA256,
    }])
    WAITING[state] = verifier, details
    return f"{SERVICE}/oauth2/authorize?" + urllib.parse.urlencode({
        "response_type": "code",
        "client_id": "demo-application",
        "redirect_uri": BACK,
        "state": state,
        "code_challenge": url_safe(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
        "authorization_details": details,
    })


def digest():
    return hashlib.sha256(read(DOCUMENT, "rb")).digest()


def call(path, body, authorization, kind):
    headers = {"Authorization": authorization, "Content-Type": kind}
    request = urllib.request.Request(SERVICE + path, body.encode(), headers)
    trusted = ssl.create_default_context(cafile=CERTIFICATE)
    with urllib.request.urlopen(request, context=trusted) as answer:
        return json.load(answer)


def sign(answer):
    """What becomes of what the browser brought back."""
    verifier, details = WAITING.pop(answer.get("state"), (None, None))
    if verifier is None:
        return "This answer belongs to no question", "Begin again at the start page."
    if "code" not in answer:
        return "Nothing is signed", answer.get("error_description", "")
    basic = base64.b64encode(f"demo-application:{read(SECRET).strip()}".encode()).decode()
    form = urllib.parse.urlencode({
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": BACK,
        "code_verifier": verifier,
        "authorization_details": details,
    })
    token = call("/oauth2/token", form, f"Basic {basic}", "application/x-www-form-urlencoded")
    order = json.dumps({
        "credentialID": read(CREDENTIAL).strip(),
        "hashes": [base64.b64encode(digest()).decode()],
        "hashAlgorithmOID": SHA256,
        "signAlgo": ECDSA,
    })
    signed = call("/csc/v2/signatures/signHash", order, f"Bearer {token['access_token']}", "application/json")
    return "The contract is signed", signed["signatures"][0]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/":
            self.send_response(303)
            self.send_header("Location", ask())
            self.end_headers()
        elif url.path == "/back":
            try:
                title, text = sign(dict(urllib.parse.parse_qsl(url.query)))
            except urllib.error.HTTPError as error:
                title, text = "The service refused", error.read().decode()
            self.show(200, title, text)
        else:
            self.show(404, "Nothing here", "")

    def show(self, status, title, text):
        page = f"<!doctype html><meta name=viewport content='width=device-width'><title>{title}</title>" \
               f"<h1>{title}</h1><p style='overflow-wrap: anywhere'>{html.escape(text)}</p><p><a href='/'>Sign again</a></p>"
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_):
        """Addresses carry codes: none is logged."""


http.server.HTTPServer(("127.0.0.1", int(PORT)), Page).serve_forever()
