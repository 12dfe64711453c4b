/**
 * Kills the process, or fails one of its calls, at a planned operation (fault-plan.ts). It is loaded in front of the
 * program (`node --import`), replaces functions of `node:fs`, `node:fs/promises` and sockets by ones that look at the
 * plan first, and so reaches every write path of any process without a line in the product.
 *
 * What it sees: all of `node:fs/promises` and of file handles; the synchronous and callback functions of `node:fs`
 * that are listed below; `net.Socket.write`. What it does not: `FileHandle.readableWebStream` and watchers, which
 * nobody uses here, and processes that are no Node, such as PostgreSQL.
 */
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import type { FaultOp, PlannedRule } from './fault-plan.ts';

/** The originals: what this module does itself is no operation of the program. */
const { appendFileSync, existsSync, openSync, closeSync, constants } = fs;
const { copyFileSync, mkdirSync, renameSync } = fs;
/** Begins the name of a copy that is not whole; that of one which is begins with a digit. */
const COPYING = '.';

interface Rule {
  rule: PlannedRule;
  path: RegExp;
  seen: number;
}

const { TEST_FAULT_PLAN } = process.env;
const commandLine = process.argv.join(' ');
const rules = parsePlan(TEST_FAULT_PLAN).map(
  (rule): Rule => ({ rule, path: new RegExp(rule.path ?? '', 's'), seen: 0 }),
);
const codes = new Map([...getSystemErrorMap()].map(([number, [code, text]]) => [code, { number, text }]));

/** The rules of this process. The plan is the test's own: what is wrong in it is told at once. */
function parsePlan(text: string | undefined): PlannedRule[] {
  if (text === undefined) return [];
  const plan: PlannedRule[] = JSON.parse(text);
  return plan.filter(({ argv }) => argv === undefined || new RegExp(argv).test(commandLine));
}

/** The rule that acts on this call, if one does; every rule counts it. */
function due(ops: readonly FaultOp[], path: string): PlannedRule | undefined {
  let found: PlannedRule | undefined;
  for (const entry of rules) {
    const { rule } = entry;
    if (rule.act === 'keep' || !ops.includes(rule.op) || !entry.path.test(path)) continue;
    if (rule.whileExists !== undefined && !existsSync(rule.whileExists)) continue;
    entry.seen += 1;
    const nth = rule.nth ?? 1;
    const now = rule.always === true ? entry.seen >= nth : entry.seen === nth;
    if (!now || found !== undefined || !claim(rule)) continue;
    appendFileSync(rule.log, `${process.pid} ${rule.op} ${path.slice(0, 500).replaceAll(/\s/g, ' ')}\n`);
    found = rule;
  }
  return found;
}

/** Copies the file as it is now, when a rule wants that. A process that dies meanwhile leaves the copy of before. */
function keep(ops: readonly FaultOp[], path: string): void {
  for (const { rule, path: pattern } of rules) {
    if (rule.act !== 'keep' || !ops.includes(rule.op) || !pattern.test(path)) continue;
    const folder = `${rule.log}.kept`;
    mkdirSync(folder, { recursive: true });
    const copy = `${process.pid}-${path.replaceAll('/', '_')}`;
    copyFileSync(path, join(folder, `${COPYING}${copy}`));
    renameSync(join(folder, `${COPYING}${copy}`), join(folder, copy));
    appendFileSync(rule.log, `${process.pid} ${rule.op} ${path}\n`);
  }
}

/** O_EXCL decides which process acts, when a rule acts only once. */
function claim({ once, always, log }: PlannedRule): boolean {
  if (!(once ?? always !== true)) return true;
  try {
    closeSync(openSync(`${log}.claimed`, 'wx'));
    return true;
  } catch {
    return false;
  }
}

/** Does not return when it kills or fails; `hang` is the caller's. */
function strike({ act, op }: PlannedRule, path: string): void {
  if (act === 'hang') return;
  if (act === 'kill-parent' || act === 'kill-both') {
    // Only a parent that speaks to us is one that the test started.
    if (!process.connected) throw new Error('this process has no parent that may be killed');
    process.kill(process.ppid, 'SIGKILL');
  }
  if (act === 'kill' || act === 'kill-both') {
    process.kill(process.pid, 'SIGKILL');
    // The signal may need a moment to reach this thread; nothing may happen in it.
    sleepForEver();
  }
  if (act !== 'kill-parent') throw systemError(act, op, path);
}

function systemError(code: string, syscall: string, path: string): Error {
  const known = codes.get(code);
  if (known === undefined) throw new Error(`the fault plan names ${code}, which is no error of the system`);
  const error = new Error(`${code}: ${known.text}, ${syscall} '${path}'`);
  return Object.assign(error, { code, errno: known.number, syscall, path });
}

function sleepForEver(): never {
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

type Call = (args: unknown[]) => unknown;
/** What stands in for a function; `call` is the function itself, already bound. */
type Around = (call: Call, args: unknown[], self: object) => unknown;

function wrap(object: object, name: string, around: Around): void {
  const original: unknown = Reflect.get(object, name);
  // Another version of Node may not have it.
  if (typeof original !== 'function') return;
  const wrapper = function (this: object, ...args: unknown[]): unknown {
    return around((given) => Reflect.apply(original, this, given), args, this);
  };
  // `util.promisify` looks for symbols on the function.
  for (const key of Reflect.ownKeys(original)) {
    const descriptor = Reflect.getOwnPropertyDescriptor(original, key);
    if (key !== 'prototype' && descriptor !== undefined) Reflect.defineProperty(wrapper, key, descriptor);
  }
  Reflect.set(object, name, wrapper);
}

/** How to half a write: the arguments of the same function for its first bytes. */
type Half = (args: unknown[], bytes: number | undefined) => unknown[];

interface Verb {
  ops: readonly FaultOp[];
  half?: Half | undefined;
}

const keeps = rules.some(({ rule }) => rule.act === 'keep');

function promised(verb: Verb, path: string, original: Call, args: unknown[]): unknown {
  const rule = due(verb.ops, path);
  const call: Call = !keeps
    ? original
    : async (given) => {
        const result = await original(given);
        keep(verb.ops, path);
        return result;
      };
  if (rule === undefined) return call(args);
  return (async () => {
    let result: unknown;
    if (rule.when === 'after') result = await call(args);
    if (rule.when === 'half') await call(halved(verb, rule, args));
    strike(rule, path);
    if (rule.act === 'hang') return new Promise(() => undefined);
    return rule.when === 'after' ? result : call(args);
  })();
}

function synchronous(verb: Verb, path: string, original: Call, args: unknown[]): unknown {
  const rule = due(verb.ops, path);
  const call: Call = !keeps
    ? original
    : (given) => {
        const result = original(given);
        keep(verb.ops, path);
        return result;
      };
  if (rule === undefined) return call(args);
  const result = rule.when === 'after' ? call(args) : undefined;
  if (rule.when === 'half') call(halved(verb, rule, args));
  strike(rule, path);
  if (rule.act === 'hang') sleepForEver();
  return rule.when === 'after' ? result : call(args);
}

function withCallback(verb: Verb, path: string, call: Call, args: unknown[]): unknown {
  const callback: unknown = args.at(-1);
  const rule = typeof callback === 'function' ? due(verb.ops, path) : undefined;
  if (rule === undefined || typeof callback !== 'function') return call(args);
  const then = (next: () => void): void => {
    try {
      strike(rule, path);
    } catch (error) {
      process.nextTick(() => Reflect.apply(callback, undefined, [error]));
      return;
    }
    if (rule.act !== 'hang') next();
  };
  if (rule.when === 'after') {
    const told = (...answer: unknown[]) => then(() => Reflect.apply(callback, undefined, answer));
    return call([...args.slice(0, -1), told]);
  }
  if (rule.when === 'half') {
    const told = () => then(() => call(args));
    return call([...halved(verb, rule, args.slice(0, -1)), told]);
  }
  then(() => call(args));
  return undefined;
}

function halved({ half }: Verb, { halfBytes, op }: PlannedRule, args: unknown[]): unknown[] {
  if (half === undefined) throw new Error(`the fault plan halves ${op}, which has no bytes`);
  return half(args, halfBytes);
}

function firstOf(data: unknown, bytes: number | undefined): Buffer {
  const all = ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(String(data));
  return Buffer.from(all.subarray(0, bytes ?? all.length >> 1));
}

/** (data, options) */
const halfOfWhole: Half = ([data, ...rest], bytes) => [firstOf(data, bytes), ...rest];
/** (buffer, offset?, length?, position?) or (buffer, {offset, length, position}) or (string, position) */
const halfOfWrite: Half = ([data, second, length, position], bytes) => {
  if (!ArrayBuffer.isView(data)) return [firstOf(data, bytes), 0, undefined, second ?? null];
  const options =
    typeof second === 'object' && second !== null ? second : { offset: second, length, position };
  const at = (key: string): unknown => Reflect.get(options, key);
  const from = Number(at('offset') ?? 0);
  const until = from + Number(at('length') ?? data.byteLength - from);
  const part = Buffer.from(data.buffer, data.byteOffset, data.byteLength).subarray(from, until);
  const first = firstOf(part, bytes);
  return [first, 0, first.length, at('position') ?? null];
};
/** (buffers, position?) */
const halfOfVector: Half = ([buffers, position], bytes) => {
  const all = Array.isArray(buffers) ? buffers.filter((part) => ArrayBuffer.isView(part)) : [];
  const views = all.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength));
  return [[firstOf(Buffer.concat(views), bytes)], position];
};
const behindFirst =
  (half: Half): Half =>
  ([first, ...rest], bytes) => [first, ...half(rest, bytes)];

/** Functions of an open file. A handle's `writeFile` does not come by its `write`. */
const OF_FILE: Readonly<Record<string, Verb>> = {
  read: { ops: ['read'] },
  readv: { ops: ['read'] },
  readFile: { ops: ['read'] },
  write: { ops: ['write'], half: halfOfWrite },
  writev: { ops: ['write'], half: halfOfVector },
  writeFile: { ops: ['write'], half: halfOfWhole },
  appendFile: { ops: ['write'], half: halfOfWhole },
  truncate: { ops: ['truncate'] },
  sync: { ops: ['sync'] },
  datasync: { ops: ['datasync'] },
  stat: { ops: ['stat'] },
};

/** Functions that take a path, in all three styles. */
const OF_PATH: Readonly<Record<string, Verb>> = {
  readFile: { ops: ['open', 'read'] },
  writeFile: { ops: ['open', 'create', 'write'], half: behindFirst(halfOfWhole) },
  appendFile: { ops: ['open', 'create', 'write'], half: behindFirst(halfOfWhole) },
  truncate: { ops: ['truncate'] },
  unlink: { ops: ['unlink'] },
  rm: { ops: ['unlink'] },
  mkdir: { ops: ['mkdir'] },
  rmdir: { ops: ['rmdir'] },
  readdir: { ops: ['readdir'] },
  opendir: { ops: ['readdir'] },
  stat: { ops: ['stat'] },
  lstat: { ops: ['stat'] },
  statfs: { ops: ['stat'] },
};
const OF_TWO_PATHS: Readonly<Record<string, Verb>> = {
  rename: { ops: ['rename'] },
  link: { ops: ['link'] },
  symlink: { ops: ['link'] },
  copyFile: { ops: ['open', 'create', 'write'] },
};
/** Functions of `node:fs` that take a descriptor. */
const OF_DESCRIPTOR: Readonly<Record<string, Verb>> = {
  read: { ops: ['read'] },
  readv: { ops: ['read'] },
  write: { ops: ['write'], half: behindFirst(halfOfWrite) },
  writev: { ops: ['write'], half: behindFirst(halfOfVector) },
  ftruncate: { ops: ['truncate'] },
  fsync: { ops: ['sync'] },
  fdatasync: { ops: ['datasync'] },
  fstat: { ops: ['stat'] },
  close: { ops: ['close'] },
};

const handlePaths = new WeakMap<object, string>();
const descriptorPaths = new Map<number, string>();
let prototypeIsWrapped = false;

function pathOf(target: unknown): string {
  if (typeof target === 'number') return descriptorPaths.get(target) ?? `descriptor ${target}`;
  if (typeof target === 'object' && target !== null) {
    const path = handlePaths.get(target);
    if (path !== undefined) return path;
    if (target instanceof URL) return target.pathname;
  }
  return String(target);
}

function opsOfOpen(flags: unknown): readonly FaultOp[] {
  const creates =
    typeof flags === 'number' ? (flags & constants.O_CREAT) !== 0 : /[wax]/.test(String(flags ?? 'r'));
  return creates ? ['open', 'create'] : ['open'];
}

/** A handle knows its path from here on. Its class has no other name than its objects. */
function follow(handle: object, path: string): void {
  handlePaths.set(handle, path);
  // `close` is a property of each handle.
  wrap(handle, 'close', (call, args) => promised({ ops: ['close'] }, path, call, args));
  if (prototypeIsWrapped) return;
  prototypeIsWrapped = true;
  const prototype: unknown = Object.getPrototypeOf(handle);
  if (typeof prototype !== 'object' || prototype === null) throw new Error('a file handle has no class');
  for (const [name, verb] of Object.entries(OF_FILE))
    wrap(prototype, name, (call, args, self) => promised(verb, pathOf(self), call, args));
}

function wrapPromises(): void {
  wrap(promises, 'open', (call, args) => {
    const path = pathOf(args[0]);
    const opened = promised({ ops: opsOfOpen(args[1]) }, path, call, args);
    return Promise.resolve(opened).then((handle: unknown) => {
      if (typeof handle === 'object' && handle !== null) follow(handle, path);
      return handle;
    });
  });
  for (const [name, verb] of Object.entries(OF_PATH))
    wrap(promises, name, (call, args) => promised(verb, pathOf(args[0]), call, args));
  for (const [name, verb] of Object.entries(OF_TWO_PATHS))
    wrap(promises, name, (call, args) => promised(verb, between(args), call, args));
}

function wrapFs(): void {
  wrap(fs, 'openSync', (call, args) => {
    const path = pathOf(args[0]);
    const descriptor = synchronous({ ops: opsOfOpen(args[1]) }, path, call, args);
    if (typeof descriptor === 'number') descriptorPaths.set(descriptor, path);
    return descriptor;
  });
  wrap(fs, 'open', (call, args) => {
    const path = pathOf(args[0]);
    const callback: unknown = args.at(-1);
    if (typeof callback !== 'function') return call(args);
    const told = (error: unknown, descriptor: unknown): void => {
      if (typeof descriptor === 'number') descriptorPaths.set(descriptor, path);
      Reflect.apply(callback, undefined, [error, descriptor]);
    };
    const flags = args.length > 2 ? args[1] : undefined;
    return withCallback({ ops: opsOfOpen(flags) }, path, call, [...args.slice(0, -1), told]);
  });
  for (const [table, text] of [
    [OF_PATH, (args: unknown[]) => pathOf(args[0])],
    [OF_DESCRIPTOR, (args: unknown[]) => pathOf(args[0])],
    [OF_TWO_PATHS, between],
  ] as const)
    for (const [name, verb] of Object.entries(table)) {
      wrap(fs, `${name}Sync`, (call, args) => synchronous(verb, text(args), call, args));
      wrap(fs, name, (call, args) => withCallback(verb, text(args), call, args));
    }
}

function between(args: unknown[]): string {
  return `${pathOf(args[0])} -> ${pathOf(args[1])}`;
}

/** (data, encoding?, callback?): what is sent is the "path"; after means that the system has taken it. */
function wrapSockets(): void {
  wrap(Socket.prototype, 'write', (call, args) => {
    const [data] = args;
    const text = ArrayBuffer.isView(data)
      ? Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1')
      : String(data);
    const rule = due(['send'], text);
    if (rule === undefined) return call(args);
    if (rule.when !== 'after') {
      strike(rule, 'a socket');
      return rule.act === 'hang' ? true : call(args);
    }
    const callback: unknown = args.findLast((argument) => typeof argument === 'function');
    const rest = args.filter((argument) => typeof argument !== 'function');
    const told = (...answer: unknown[]): void => {
      strike(rule, 'a socket');
      if (typeof callback === 'function' && rule.act !== 'hang') Reflect.apply(callback, undefined, answer);
    };
    return call([...rest, told]);
  });
}

if (rules.length > 0) {
  wrapPromises();
  wrapFs();
  if (rules.some(({ rule }) => rule.op === 'send')) wrapSockets();
  // Modules that were or will be loaded import these functions by name: their bindings follow.
  syncBuiltinESMExports();
}
