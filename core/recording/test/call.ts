import { randomUUID } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { CaptureLeg } from '#protocol';
import { rtpPacket } from '../../../recorder-worker/test/packets.ts';
import type { Database } from '../../db/index.ts';
import type { NewRecording } from '../../db/recordings.ts';

const PAYLOAD_TYPE = 100;
const SAMPLES_PER_PACKET = 960;
const PACKET_MS = 20;
/** One frame of 20 ms of CELT silence, mono (RFC 6716: TOC 0xf8, then what the encoder sends for it). */
const FRAME = Buffer.from('f8fffe', 'hex');

/** The rows that a recording stands on: an app, a direct chat of two, and a call in it. */
export async function insertCall(db: Database): Promise<NewRecording> {
  const [appId, chatId, callId] = [randomUUID(), 'chat', randomUUID()];
  await db.sql`insert into apps (id, name, recording_enabled) values (${appId}, 'Test', true)`;
  await db.sql`insert into chats (app_id, id, kind) values (${appId}, ${chatId}, 'direct')`;
  await db.sql`
    insert into calls (id, app_id, chat_id, mode, caller_id, callee_id, state, started_at)
    values (${callId}, ${appId}, ${chatId}, 'secure', 'alice', 'bob', 'connecting', now())`;
  return { recordingId: randomUUID(), callId, appId, chatId, callerId: 'alice', calleeId: 'bob' };
}

/** Stands in for the media worker: one UDP socket from which the two legs of a call are sent to a recorder. */
export class MediaSide {
  readonly legs: CaptureLeg[] = [
    { side: 'caller', ssrc: 0x1111_0001, payloadType: PAYLOAD_TYPE, clockRate: 48_000 },
    { side: 'callee', ssrc: 0xf222_0002, payloadType: PAYLOAD_TYPE, clockRate: 48_000 },
  ];
  readonly #socket = createSocket('udp4');
  #sequence = 0;
  #timer: NodeJS.Timeout | undefined;

  static async open(): Promise<MediaSide> {
    const side = new MediaSide();
    const bound = once(side.#socket, 'listening');
    side.#socket.bind(0, '127.0.0.1');
    await bound;
    return side;
  }

  get source(): { ip: string; port: number } {
    return { ip: '127.0.0.1', port: this.#socket.address().port };
  }

  /** Sends both legs from now on, in real time. */
  talk(to: { ip: string; port: number }): void {
    const tick = () => {
      for (const leg of this.legs) this.send(to, leg);
      this.#sequence += 1;
    };
    tick();
    this.#timer = setInterval(tick, PACKET_MS);
  }

  /** One packet of one leg. */
  send(to: { ip: string; port: number }, leg: CaptureLeg): void {
    const packet = rtpPacket({
      ssrc: leg.ssrc,
      sequence: this.#sequence,
      timestamp: this.#sequence * SAMPLES_PER_PACKET,
      payloadType: leg.payloadType,
      payload: FRAME,
    });
    this.#socket.send(packet, to.port, to.ip);
  }

  get sentPerLeg(): number {
    return this.#sequence;
  }

  silence(): void {
    clearInterval(this.#timer);
  }

  close(): void {
    this.silence();
    this.#socket.close();
  }
}
