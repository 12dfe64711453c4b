import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);

t.test('F17 the server speaks HTTPS with the certificate that it is given', async (t) => {
  const dir = t.testdir({});
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
      .concat(['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'])
      .concat(['-keyout', keyFile, '-out', certFile]),
    { stdio: 'ignore' },
  );
  const cert = readFileSync(certFile, 'utf8');
  const { http } = await httpFixture(t, db, { tls: { cert, key: readFileSync(keyFile, 'utf8') } });
  const { port } = http.server.address() as AddressInfo;
  const answer = await new Promise<{ status: number | undefined; body: string; hsts: unknown }>(
    (resolve, reject) => {
      request(
        { host: '127.0.0.1', servername: 'localhost', port, path: '/v1/health', ca: cert },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            body += chunk;
          });
          response.on('end', () =>
            resolve({
              status: response.statusCode,
              body,
              hsts: response.headers['strict-transport-security'],
            }),
          );
        },
      )
        .on('error', reject)
        .end();
    },
  );
  t.equal(answer.status, 200);
  t.match(JSON.parse(answer.body), { status: 'ok' });
  t.equal(answer.hsts, 'max-age=31536000');

  // Somebody who speaks plain HTTP there learns nothing and stops nothing.
  const socket = connect(port, '127.0.0.1');
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
    socket.on('error', () => undefined);
  });
  socket.resume();
  socket.write('GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await closed;
  t.equal((await http.inject('/v1/health/live')).statusCode, 200);
});
