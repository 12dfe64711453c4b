import type { TransactionSql } from 'postgres';
import type { CallMode, CallState, Consent, Disclosure, EndReason, Side } from '#protocol';
import type { Database } from './database.ts';

/** What has to be known of a chat before a call may start in it, from one query. */
export interface CallContext {
  kind: 'direct' | 'group';
  recordingEnabled: boolean;
  ringTimeoutMs: number;
  members: { userId: string; name: string; avatarUrl: string | null }[];
}

/** Null when the chat does not exist in this app or was deleted. The asking user comes first if a member. */
export async function callContext(
  db: Database,
  appId: string,
  chatId: string,
  askingUserId: string,
): Promise<CallContext | null> {
  const rows = await db.sql<
    {
      kind: 'direct' | 'group';
      recordingEnabled: boolean;
      ringTimeoutMs: number;
      userId: string | null;
      name: string | null;
      avatarUrl: string | null;
    }[]
  >`
    select c.kind, a.recording_enabled as "recordingEnabled", a.ring_timeout_ms as "ringTimeoutMs",
           u.id as "userId", u.name, u.avatar_url as "avatarUrl"
    from chats c
    join apps a on a.id = c.app_id
    left join chat_members m on m.app_id = c.app_id and m.chat_id = c.id
    left join users u on u.app_id = m.app_id and u.id = m.user_id
    where c.app_id = ${appId} and c.id = ${chatId} and c.deleted_at is null
    order by (u.id = ${askingUserId}) desc nulls last
    limit 3`; // A third member already says that no call is possible here.
  const first = rows[0];
  if (!first) return null;
  return {
    kind: first.kind,
    recordingEnabled: first.recordingEnabled,
    ringTimeoutMs: first.ringTimeoutMs,
    members: rows.flatMap((row) =>
      row.userId === null
        ? []
        : [{ userId: row.userId, name: row.name ?? row.userId, avatarUrl: row.avatarUrl }],
    ),
  };
}

/** The disclosure text in force: newest version of the wanted locale, of its language, or of English, in this order. */
export async function currentDisclosure(
  db: Database,
  appId: string,
  locale: string,
): Promise<Disclosure | null> {
  const language = locale.split('-')[0] ?? locale;
  const rows = await db.sql<{ locale: string; version: number; body: string; sha256: string }[]>`
    select locale, version, body, sha256 from disclosures
    where app_id = ${appId} and locale in (${locale}, ${language}, 'en')
    order by locale = ${locale} desc, locale = ${language} desc, version desc
    limit 1`;
  const row = rows[0];
  return row ? { version: row.version, locale: row.locale, text: row.body, sha256: row.sha256 } : null;
}

export interface NewCall {
  id: string;
  appId: string;
  chatId: string;
  mode: CallMode;
  callerId: string;
  calleeId: string;
  startedAt: Date;
  /** Secure calls only: what their history in the ledger is kept under. */
  recordingId: string | null;
}

/** Who agreed to what, with which act and on which device. Goes in before the call may go on. */
export interface ConsentRecord {
  consent: Consent;
  userId: string;
  device: string;
  at: Date;
  /** Where in the ledger it stands, when that is known already. */
  entryIndex?: number;
}

/** A call with the caller's consent, in one transaction. The end of a secure call is owed to the ledger from here on. */
export async function insertCall(db: Database, call: NewCall, consent: ConsentRecord | null): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`
      insert into calls
        (id, app_id, chat_id, mode, caller_id, callee_id, state, started_at, recording_id, evidence)
      values (${call.id}, ${call.appId}, ${call.chatId}, ${call.mode}, ${call.callerId}, ${call.calleeId},
              'ringing', ${call.startedAt}, ${call.recordingId}, ${call.recordingId === null ? 'none' : 'owed'})`;
    if (consent) await insertConsent(sql, call.id, call.appId, 'caller', consent);
  });
}

/** A call that never rang because the other side was busy or offline: history only (F10: nothing is queued). */
export async function insertEndedCall(db: Database, call: NewCall, reason: EndReason): Promise<void> {
  await db.sql`
    insert into calls (id, app_id, chat_id, mode, caller_id, callee_id, state, end_reason, started_at, ended_at)
    values (${call.id}, ${call.appId}, ${call.chatId}, ${call.mode}, ${call.callerId}, ${call.calleeId},
            'ended', ${reason}, ${call.startedAt}, ${call.startedAt})`;
}

/** The callee accepted: state and consent in one transaction. */
export async function acceptCall(
  db: Database,
  callId: string,
  appId: string,
  at: Date,
  consent: ConsentRecord | null,
): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`update calls set state = 'connecting', accepted_at = ${at} where id = ${callId} and state = 'ringing'`;
    if (consent) await insertConsent(sql, callId, appId, 'callee', consent);
  });
}

export async function setCallState(
  db: Database,
  callId: string,
  state: Extract<CallState, 'active'>,
  at: Date,
) {
  await db.sql`update calls set state = ${state}, active_at = ${at} where id = ${callId} and state <> 'ended'`;
}

export async function endCall(db: Database, callId: string, reason: EndReason, at: Date): Promise<void> {
  await db.sql`
    update calls set state = 'ended', end_reason = ${reason}, ended_at = ${at} where id = ${callId} and state <> 'ended'`;
}

/**
 * Ends all calls that a daemon which is gone left open, and returns their ids. A secure call ended when its recording
 * did, as far as that is known by now; of a voice call nothing tells, so it ends with `at`.
 */
export async function endOpenCalls(db: Database, reason: EndReason, at: Date): Promise<string[]> {
  const rows = await db.sql<{ id: string }[]>`
    update calls set state = 'ended', end_reason = ${reason},
      ended_at = coalesce((select ended_at from recordings where call_id = calls.id), ${at})
    where state <> 'ended' returning id`;
  return rows.map((row) => row.id);
}

async function insertConsent(
  sql: TransactionSql,
  callId: string,
  appId: string,
  side: Side,
  record: ConsentRecord,
): Promise<void> {
  const { consent } = record;
  await sql`
    insert into consents (call_id, side, app_id, user_id, action, disclosure_sha256, disclosure_version, locale, device, at,
                          entry_index)
    values (${callId}, ${side}, ${appId}, ${record.userId}, ${side === 'caller' ? 'start' : 'accept'},
            ${consent.disclosureSha256}, ${consent.disclosureVersion}, ${consent.locale}, ${record.device}, ${record.at},
            ${record.entryIndex ?? null})`;
}
