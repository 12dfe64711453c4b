import { createHmac } from 'node:crypto';
import t from 'tap';
import { encodeBindingRequest, isBindingSuccess, isStun } from './stun.ts';

// RFC 5769 section 2.2: a binding success response, as an outside vector for the classification.
const sampleResponse = Buffer.from(
  '0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643' +
    '000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96',
  'hex',
);

t.test('a response of the RFC’s is told from RTP, DTLS and a request', (t) => {
  t.equal(isStun(sampleResponse), true);
  t.equal(isBindingSuccess(sampleResponse), true);
  t.equal(isBindingSuccess(encodeBindingRequest({ usernameFragment: 'a', password: 'b' }, 'c')), false);
  t.equal(isStun(Buffer.from([22, 254, 253])), false);
  t.equal(isStun(Buffer.alloc(200, 0x80)), false);
  t.equal(isStun(Buffer.alloc(0)), false);
  t.equal(isStun(Buffer.alloc(20)), false);
  t.end();
});

t.test('a request carries user name, nomination, HMAC and CRC, and its length covers them', (t) => {
  const request = encodeBindingRequest({ usernameFragment: 'server', password: 'secret' }, 'us');
  t.equal(request.readUInt16BE(0), 0x0001);
  t.equal(request.readUInt16BE(2), request.length - 20);
  t.ok(request.includes('server:us'));
  t.ok(request.includes(Buffer.from('00250000', 'hex')));
  // RFC 8489 section 14.5: the HMAC's input ends before it and its length field ends after it.
  const hmacAt = request.length - 8 - 24;
  const covered = Buffer.from(request.subarray(0, hmacAt));
  covered.writeUInt16BE(hmacAt + 24 - 20, 2);
  const expected = createHmac('sha1', 'secret').update(covered).digest();
  t.same(request.subarray(hmacAt + 4, hmacAt + 24), expected);
  t.end();
});
