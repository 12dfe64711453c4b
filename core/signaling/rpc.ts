import { ERRORS, VerbatimError } from '#protocol';

/** Ids longer than this are refused: an id is echoed, so it must not be a way to store or amplify bytes. */
const MAX_ID_LENGTH = 64;

export type RpcId = string | number;

export type Incoming =
  | { kind: 'request'; id: RpcId; method: string; params: unknown }
  | { kind: 'notification' }
  | { kind: 'invalid'; id: RpcId | null; error: VerbatimError };

/**
 * Reads one text frame as a JSON-RPC 2.0 request (https://www.jsonrpc.org/specification).
 * Stricter than the specification where that costs a client nothing: no batches, no `null` or fractional ids,
 * parameters by name only. A frame that cannot be answered to an id is answered with `id: null`.
 */
export function parseMessage(text: string): Incoming {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch (cause) {
    return invalid(null, 'parse_error', 'the message is not valid JSON', cause);
  }
  if (Array.isArray(message)) {
    return invalid(null, 'invalid_message', 'batches are not supported: send one request per message');
  }
  if (!isObject(message)) {
    return invalid(null, 'invalid_message', `expected a JSON object, got ${nameOf(message)}`);
  }
  const hasId = Object.hasOwn(message, 'id');
  const id = hasId && isId(message.id) ? message.id : null;
  if (message.jsonrpc !== '2.0') {
    return invalid(id, 'invalid_message', '"jsonrpc" must be "2.0"');
  }
  if (hasId && id === null) {
    return invalid(
      null,
      'invalid_message',
      `"id" must be an integer or a string of 1-${MAX_ID_LENGTH} characters`,
    );
  }
  if (typeof message.method !== 'string') {
    return invalid(id, 'invalid_message', `"method" must be a string, got ${nameOf(message.method)}`);
  }
  if (id === null) return { kind: 'notification' };
  if (message.params !== undefined && !isObject(message.params)) {
    return invalid(id, 'bad_request', `"params" must be an object, got ${nameOf(message.params)}`);
  }
  return { kind: 'request', id, method: message.method, params: message.params ?? {} };
}

export function resultMessage(id: RpcId, result: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, result });
}

/** `error.data.code` is the stable word of the table of errors; `error.code` is its JSON-RPC number. */
export function errorMessage(id: RpcId | null, error: VerbatimError): string {
  const row = ERRORS[error.code];
  // What went wrong inside us is for the log, not for the caller.
  const message = row.fault === 'us' ? row.title : error.message;
  return JSON.stringify({
    jsonrpc: '2.0',
    id,
    error: { code: row.rpc, message, data: { code: error.code } },
  });
}

export function notificationMessage(method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', method, params });
}

function invalid(
  id: RpcId | null,
  code: 'parse_error' | 'invalid_message' | 'bad_request',
  message: string,
  cause?: unknown,
): Incoming {
  return { kind: 'invalid', id, error: new VerbatimError(code, message, { cause }) };
}

function isId(value: unknown): value is RpcId {
  if (typeof value === 'string') return value.length > 0 && value.length <= MAX_ID_LENGTH;
  return Number.isSafeInteger(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function nameOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}
