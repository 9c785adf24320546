"""Programs that run in the machines of a lab."""

#: Answers every line on every port that it is given, in both versions.
ECHO = """
import socket, sys, threading
def serve(port):
    server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
def answer(conversation):
    try:
        while data := conversation.recv(100):
            conversation.sendall(data)
    except OSError:
        pass  # The other end has given up.
for port in sys.argv[1:]:
    threading.Thread(target=serve, args=(int(port),)).start()
"""
#: Talks until there is no answer any more; says so.
TALK = """
import select, socket, sys
line = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
line.settimeout(2)
try:
    while True:
        line.sendall(b"x")
        assert line.recv(1)
        print("answered", flush=True)
        select.select((), (), (), 0.1)
except OSError:
    print("cut", flush=True)
"""
CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.4).close()
"""
#: Asks a name server for the IPv4 address of a name: tells it, or "none".
RESOLVE = """
import socket, struct, sys
server, name = sys.argv[1:]
words = b"".join(bytes([len(word)]) + word.encode() for word in name.split("."))
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.settimeout(5)
header = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0)
line.sendto(header + words + struct.pack(">BHH", 0, 1, 1), (server, 53))
answer = line.recv(512)
print(socket.inet_ntoa(answer[-4:]) if struct.unpack(">6H", answer[:12])[3] else "none")
"""
#: Asks for an address and the name of a file to boot from: tells both.
DISCOVER = """
from scapy.all import *
conf.checkIPaddr = False
mac = get_if_hwaddr("eth0")
asked = [("message-type", "discover"), ("param_req_list", [3, 6, 67]), "end"]
frame = (Ether(dst="ff:ff:ff:ff:ff:ff", src=mac) / IP(src="0.0.0.0", dst="255.255.255.255")
         / UDP(sport=68, dport=67) / BOOTP(chaddr=mac2str(mac), xid=7, flags=0x8000)
         / DHCP(options=asked))
answer = srp1(frame, iface="eth0", timeout=5, verbose=0)
options = dict(one[:2] for one in answer[DHCP].options if isinstance(one, tuple))
print(answer[BOOTP].yiaddr, options.get("boot-file-name", b"-").rstrip(b"\\0").decode())
"""
