import WaveSurfer from 'wavesurfer.js';
import type { Waveform } from '../../sdk/index.ts';

/** What is quieter than this has no height: breath and hum would fill the lanes otherwise. */
const FLOOR_DB = -60;
const FULL_SCALE = 32_768;

export interface LaneColors {
  wave: string;
  played: string;
}

/**
 * The waveform of a recording, drawn by wavesurfer.js from the server's peaks: the caller's lane above, the callee's
 * below. It only draws. What plays and where it stands is told by `moveTo`.
 */
export class WaveformLanes {
  readonly #surfer: WaveSurfer;

  constructor(options: {
    container: HTMLElement;
    waveform: Waveform;
    durationMs: number;
    laneHeight: number;
    colors: readonly [LaneColors, LaneColors];
  }) {
    // It makes a `<style>` tag, which a page's `style-src 'self'` refuses and reports. A tag in an element outside of
    // the document is not applied, thus not refused: its text becomes an adopted sheet before it is shown.
    const nowhere = document.createElement('div');
    this.#surfer = WaveSurfer.create({
      container: nowhere,
      media: document.createElement('audio'),
      peaks: lanes(options.waveform),
      duration: options.durationMs / 1_000,
      height: options.laneHeight,
      splitChannels: options.colors.map(laneOptions),
      barWidth: 2,
      barGap: 1,
      barRadius: 2,
      barMinHeight: 1,
      cursorWidth: 0,
      interact: false,
      hideScrollbar: true,
    });
    adoptStyles(nowhere);
    options.container.replaceChildren(...nowhere.children);
  }

  moveTo(ms: number): void {
    this.#surfer.setTime(ms / 1_000);
  }

  paint(colors: readonly [LaneColors, LaneColors]): void {
    this.#surfer.setOptions({ splitChannels: colors.map(laneOptions) });
  }

  close(): void {
    this.#surfer.destroy();
  }
}

function laneOptions({ wave, played }: LaneColors): { waveColor: string; progressColor: string } {
  return { waveColor: wave, progressColor: played };
}

function adoptStyles(container: HTMLElement): void {
  const root = container.firstElementChild?.shadowRoot;
  if (!root) return;
  root.adoptedStyleSheets = [...root.querySelectorAll('style')].map((style) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style.textContent ?? '');
    style.remove();
    return sheet;
  });
}

/** Heights from 0 to 1 of both channels. Loudness is heard in decibels, so it is drawn in them. */
function lanes({ channels, length, data }: Waveform): [Float32Array, Float32Array] {
  const heights: [Float32Array, Float32Array] = [new Float32Array(length), new Float32Array(length)];
  for (let pixel = 0; pixel < length; pixel += 1) {
    for (const [channel, lane] of heights.entries()) {
      const at = 2 * (pixel * channels + channel);
      lane[pixel] = height(Math.max(-(data[at] ?? 0), data[at + 1] ?? 0) / FULL_SCALE);
    }
  }
  return heights;
}

function height(amplitude: number): number {
  if (amplitude <= 0) return 0;
  return Math.max(0, 1 - (20 * Math.log10(amplitude)) / FLOOR_DB);
}
