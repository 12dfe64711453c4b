import { createHash } from 'node:crypto';
import type { RecordingFormat } from '#protocol';
import type { SealedSource } from '../playback.ts';
import { layOutMp4 } from './mp4.ts';
import { layOutOgg } from './ogg.ts';
import type { PacketTrack } from './packets.ts';
import { readPackets } from './packets.ts';
import type { Layout } from './remuxed.ts';
import { RemuxedFile } from './remuxed.ts';

type Container = Exclude<RecordingFormat, 'webm'>;

/** A change of a layout is a new version: an entity tag must never name other bytes than before. */
const LAYOUTS: Readonly<
  Record<Container, { version: string; layOut: (tracks: readonly PacketTrack[]) => Layout }>
> = {
  mp4: { version: 'verbatim-mp4/1', layOut: layOutMp4 },
  ogg: { version: 'verbatim-ogg/1', layOut: layOutOgg },
};

/** What is known of a recording: its packets, and the layouts that were asked for. */
interface Index {
  tracks: readonly PacketTrack[];
  layouts: Map<Container, Layout>;
}

/** A packet has 24 bytes in an index, and four more in an MP4 layout; this is some twenty hours of calls. */
const MAX_PACKETS_KEPT = 4_000_000;

/**
 * Recordings in other containers, made while they are read and never stored. What it takes to lay one out, the places
 * and lengths of its packets, is read once and kept in memory for as long as there is room.
 */
export class Remuxes {
  readonly #open: (recordingId: string) => Promise<SealedSource>;
  /** By recording; the one used last comes last. */
  readonly #indexes = new Map<string, Promise<Index>>();
  readonly #sizes = new Map<string, number>();

  constructor(openRecording: (recordingId: string) => Promise<SealedSource>) {
    this.#open = openRecording;
  }

  /**
   * Reads what it takes to serve this form, so that its first byte comes at once.
   * @throws VerbatimError `format_unavailable` when the recording cannot have this form; `corrupt`
   */
  async prepare(recordingId: string, container: Container): Promise<void> {
    layoutOf(await this.#index(recordingId), container);
  }

  /** The caller closes what it gets. `sha256`: hex, of the recording. @throws VerbatimError as `prepare` */
  async open(recordingId: string, sha256: string, container: Container): Promise<RemuxedFile> {
    const index = await this.#index(recordingId);
    const layout = layoutOf(index, container);
    const { version } = LAYOUTS[container];
    const fingerprint = createHash('sha256').update(`${version}\n${sha256}\n`).digest('hex');
    const source = await this.#open(recordingId);
    return new RemuxedFile({ source, tracks: index.tracks, layout, fingerprint });
  }

  /** Of a recording that is gone nothing stays in memory, not even the lengths of its packets. */
  forget(recordingId: string): void {
    this.#indexes.delete(recordingId);
    this.#sizes.delete(recordingId);
  }

  async #index(recordingId: string): Promise<Index> {
    const index = this.#indexes.get(recordingId) ?? this.#read(recordingId);
    this.#indexes.delete(recordingId);
    this.#indexes.set(recordingId, index);
    try {
      return await index;
    } catch (error) {
      if (this.#indexes.get(recordingId) === index) this.forget(recordingId);
      throw error;
    }
  }

  async #read(recordingId: string): Promise<Index> {
    const source = await this.#open(recordingId);
    try {
      const tracks = await readPackets(source);
      this.#make(
        recordingId,
        tracks.reduce((sum, { at }) => sum + at.length, 0),
      );
      return { tracks, layouts: new Map() };
    } finally {
      await source.close();
    }
  }

  /** Room for the newest one, which itself always stays. */
  #make(recordingId: string, packets: number): void {
    if (!this.#indexes.has(recordingId)) return;
    this.#sizes.set(recordingId, packets);
    let kept = 0;
    for (const size of this.#sizes.values()) kept += size;
    for (const oldest of [...this.#indexes.keys()]) {
      if (kept <= MAX_PACKETS_KEPT) return;
      const size = this.#sizes.get(oldest);
      if (oldest === recordingId || size === undefined) continue;
      kept -= size;
      this.forget(oldest);
    }
  }
}

function layoutOf({ tracks, layouts }: Index, container: Container): Layout {
  const known = layouts.get(container);
  if (known !== undefined) return known;
  const layout = LAYOUTS[container].layOut(tracks);
  layouts.set(container, layout);
  return layout;
}
