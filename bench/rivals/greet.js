// The greeting dialogue in Node: node greet.js PORT [CERTIFICATE KEY]
'use strict';
const fs = require('fs');
const net = require('net');
const tls = require('tls');

const QUESTION = "Server: What's your name?";

function greet(socket) {
  let begun = '';
  socket.setNoDelay(true);
  socket.setEncoding('latin1');
  socket.on('error', () => socket.destroy());
  socket.write('Server: Welcome!\n' + QUESTION, 'latin1');
  socket.on('data', (data) => {
    const lines = (begun + data).split('\n');
    begun = lines.pop();
    let answer = '';
    for (const line of lines) {
      const name = line.endsWith('\r') ? line.slice(0, -1) : line;
      if (name === 'exit') {
        socket.end(answer + 'Server: Good bye!\n', 'latin1');
        return;
      }
      answer += (name && 'Server: Hello ' + name + '!\n') + QUESTION;
    }
    if (answer) socket.write(answer, 'latin1');
  });
}

const [port, certificate, key] = process.argv.slice(2);
const server = certificate
  ? tls.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, greet)
  : net.createServer(greet);
server.listen({ host: '127.0.0.1', port: Number(port), backlog: 4096 });
