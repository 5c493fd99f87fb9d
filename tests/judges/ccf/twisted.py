"""Signs proposals with the ccf package, each wrong in one protected header, none in its signature.

    twisted.py CERT KEY CONTENT FOLDER    writes FOLDER/<what is wrong>.cose; "nothing" is what it says
"""

import sys
import time
from pathlib import Path

import pycose.headers
from ccf import cose

certificate, key = (Path(path).read_text() for path in sys.argv[1:3])
content, folder = Path(sys.argv[3]).read_bytes(), Path(sys.argv[4])
now = int(time.time())
kid = cose.cert_fingerprint(certificate)


def write(name, change=None, without=None):
    header = {"ccf.gov.msg.type": "proposal", "ccf.gov.msg.created_at": now, **(change or {})}
    header.pop(without, None)
    message = cose.create_cose_sign1(content, key, certificate, header)
    (folder / f"{name}.cose").write_bytes(message)


write("nothing")
write("kid_binary", {pycose.headers.KID: bytes.fromhex(kid.decode())})
write("kid_upper_case", {pycose.headers.KID: kid.upper()})
write("type_missing", without="ccf.gov.msg.type")
write("type_unknown", {"ccf.gov.msg.type": "propose"})
write("created_at_missing", without="ccf.gov.msg.created_at")
write("created_at_text", {"ccf.gov.msg.created_at": str(now)})
write("created_at_negative", {"ccf.gov.msg.created_at": -now})
