"""The greeting dialogue as tutorials write it, a thread a client: python3 tutorial.py PORT"""

import socket
import sys
import threading


def handle(client):
    client.send("Server: Welcome!\n".encode())
    while True:
        client.send("Server: What's your name?".encode())
        name = client.recv(1024).decode()
        if not name:
            break
        if name == "exit":
            client.send("Server: Good bye!\n".encode())
            break
        client.send(f"Server: Hello {name}!\n".encode())
    client.close()


server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(4096)
while True:
    connection, _ = server.accept()
    threading.Thread(target=handle, args=(connection,)).start()
