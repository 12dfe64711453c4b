/** One line of results: a test, an assertion, or a whole file. */
interface Point {
  name: string;
  ok: boolean;
  /** The reason, when the test did not run. */
  skip?: string;
  /** What ran inside; undefined for an assertion. */
  inside?: Point[];
}

/** One test file when it is done, with the TAP text that it gave. */
export interface FileResult {
  file: string;
  passed: number;
  /** Names of the tests that failed; a crash, a time-out or an empty file is one too. */
  failed: string[];
  /** Names of the tests that did not run, with the reason. */
  skipped: string[];
  text: string;
}

const RESULT = /^(not )?ok\b(?: \d+)?(?: - )?(.*?)( \{)?$/;
const DIRECTIVE = /\s# (SKIP|TODO|time=\S+)\s?(.*)$/i;

/**
 * Reads the TAP 14 of a runner whose top level is one subtest per file, line by line, and gives each file's result
 * as soon as the file is done. What counts as one test is a subtest that holds no other subtest.
 */
export class TapResults {
  readonly #onFile: (result: FileResult) => void;
  /** The open subtests; index 0 is the runner itself. */
  #open: { name: string; points: Point[]; braces: boolean }[] = [{ name: '', points: [], braces: false }];
  #text: string[] = [];
  #yaml: string | undefined;
  /** A file that is done, until the diagnostics that may follow its result have been read. */
  #done: Point | undefined;
  /** The runner gave up before all files were done. */
  bailed = false;

  constructor(onFile: (result: FileResult) => void) {
    this.#onFile = onFile;
  }

  /** One line without its line feed. */
  line(line: string): void {
    const body = line.trimStart();
    const indent = line.length - body.length;
    if (this.#done && this.#yaml === undefined && body !== '---') this.#report(this.#done);
    this.#text.push(line);
    if (this.#yaml !== undefined) {
      if (line === `${this.#yaml}...`) this.#yaml = undefined;
      return;
    }
    if (body === '---' && indent % 4 === 2) {
      this.#yaml = ' '.repeat(indent);
      return;
    }
    if (indent % 4 !== 0) return;
    this.#tapLine(indent / 4, body);
  }

  /** The stream is over: a file that is still open has crashed. */
  end(): void {
    if (this.#open.length > 1) this.#close(0, { name: this.#open[1]?.name ?? '', ok: false });
    if (this.#done) this.#report(this.#done);
  }

  #tapLine(level: number, body: string): void {
    if (level >= this.#open.length) return;
    if (body.startsWith('Bail out!')) this.bailed = true;
    else if (body.startsWith('# Subtest: ')) this.#begin(level, body.slice('# Subtest: '.length), false);
    else if (body === '}') this.#endBraces(level);
    else {
      const match = RESULT.exec(body);
      if (match) this.#result(level, match[1] === undefined, match[2] ?? '', match[3] !== undefined);
    }
  }

  #begin(level: number, name: string, braces: boolean): void {
    this.#dropUnfinished(level);
    this.#open.push({ name, points: [], braces });
  }

  #result(level: number, ok: boolean, rest: string, opensBraces: boolean): void {
    const point = pointOf(rest, ok);
    if (!opensBraces) {
      this.#close(level, point);
      return;
    }
    this.#begin(level, point.name, true);
    point.inside = this.#open[level + 1]?.points ?? [];
    this.#open[level]?.points.push(point);
  }

  #endBraces(level: number): void {
    if (this.#open[level + 1]?.braces !== true) return;
    this.#dropUnfinished(level + 1);
    this.#open.length = level + 1;
    const point = this.#open[level]?.points.at(-1);
    if (level === 0) this.#done = point;
  }

  #close(level: number, point: Point): void {
    if (this.#open.length > level + 1) {
      this.#dropUnfinished(level + 1);
      point.inside = this.#open[level + 1]?.points ?? [];
      this.#open.length = level + 1;
    }
    this.#open[level]?.points.push(point);
    if (level === 0) this.#done = point;
  }

  /** Subtests below this level that began and never gave their result. */
  #dropUnfinished(level: number): void {
    for (let at = this.#open.length - 1; at > level; at -= 1) {
      const unfinished = this.#open.pop();
      if (unfinished)
        this.#open[at - 1]?.points.push({ name: unfinished.name, ok: false, inside: unfinished.points });
    }
  }

  #report(point: Point): void {
    this.#done = undefined;
    const result: FileResult = {
      file: point.name,
      passed: 0,
      failed: [],
      skipped: [],
      text: this.#text.join('\n'),
    };
    this.#text = [];
    // A file that skips itself as a whole tests nothing, whatever its reason.
    if (isEmpty(point)) result.failed.push('the file holds no test');
    else count(point, '', result);
    this.#onFile(result);
  }
}

const isEmpty = (file: Point): boolean => file.ok && (file.inside ?? []).length === 0;

function pointOf(rest: string, ok: boolean): Point {
  let name = rest;
  let skip: string | undefined;
  for (let match = DIRECTIVE.exec(name); match; match = DIRECTIVE.exec(name)) {
    if (/^(skip|todo)$/i.test(match[1] ?? '')) skip = match[2] || match[1] || '';
    name = name.slice(0, match.index);
  }
  return { name: name.trim(), ok, ...(skip === undefined ? {} : { skip }) };
}

/** Adds what one point says; answers whether a failure was counted in it. */
function count(point: Point, path: string, result: FileResult): boolean {
  const title = path === '' ? point.name : `${path} > ${point.name}`;
  if (point.skip !== undefined) {
    result.skipped.push(`${title} (${point.skip})`);
    return false;
  }
  const tests = point.inside?.filter((one) => one.inside !== undefined || one.skip !== undefined) ?? [];
  if (tests.length === 0) {
    if (point.ok) result.passed += 1;
    else result.failed.push(title);
    return !point.ok;
  }
  let failed = false;
  for (const one of point.inside ?? []) {
    if (one.inside !== undefined || one.skip !== undefined) failed = count(one, title, result) || failed;
    else if (!one.ok) {
      result.failed.push(`${title} > ${one.name}`);
      failed = true;
    }
  }
  // All that ran inside is well and the whole is not: it crashed, ran out of time or left its plan.
  if (!point.ok && !failed) {
    result.failed.push(`${title} (crashed, timed out or left its plan)`);
    return true;
  }
  return failed;
}
