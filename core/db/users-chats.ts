import type { Chat, PutChatBody, PutUserBody, User } from '#protocol';
import { VerbatimError } from '#protocol';
import type { Database } from './database.ts';

/** How many unknown members an answer names; the rest of a long list would only repeat the point. */
const MAX_NAMED_USERS = 10;

/** Writes a user as given: what the body leaves out is cleared. */
export async function putUser(db: Database, appId: string, id: string, body: PutUserBody): Promise<User> {
  await db.sql`
    insert into users (app_id, id, name, avatar_url, role)
    values (${appId}, ${id}, ${body.name}, ${body.avatarUrl ?? null}, ${body.role ?? null})
    on conflict (app_id, id) do update
    set name = excluded.name, avatar_url = excluded.avatar_url, role = excluded.role, updated_at = now()`;
  return { id, ...body };
}

export async function findUser(db: Database, appId: string, id: string): Promise<User | undefined> {
  const [row] = await db.sql<{ name: string; avatarUrl: string | null; role: string | null }[]>`
    select name, avatar_url as "avatarUrl", role from users where app_id = ${appId} and id = ${id}`;
  if (row === undefined) return undefined;
  return {
    id,
    name: row.name,
    ...(row.avatarUrl === null ? {} : { avatarUrl: row.avatarUrl }),
    ...(row.role === null ? {} : { role: row.role }),
  };
}

/**
 * Writes a chat and its members as given; a deleted chat comes back.
 * @throws VerbatimError `bad_request` when a direct chat has not exactly two members, a member is unknown or
 * named twice, the owner is no member, or a private chat has none;
 * `conflict` when a direct chat that has had calls would get other people: their recordings are its recordings
 */
export async function putChat(db: Database, appId: string, id: string, body: PutChatBody): Promise<Chat> {
  if (body.kind === 'direct' && body.members.length !== 2) {
    throw new VerbatimError(
      'bad_request',
      `body/members: a direct chat has exactly two members, got ${body.members.length}`,
    );
  }
  if (new Set(body.members).size < body.members.length) {
    throw new VerbatimError('bad_request', 'body/members: a member is named twice');
  }
  const { owner } = body;
  if (owner !== undefined && !body.members.includes(owner))
    throw new VerbatimError('bad_request', 'body/owner: expected one of the members');
  if (body.private === true && owner === undefined)
    throw new VerbatimError('bad_request', 'body/private: a private chat needs an owner');
  await db.sql.begin(async (sql) => {
    const known = await sql<{ id: string }[]>`
      select id from users where app_id = ${appId} and id = any(${body.members})`;
    if (known.length < body.members.length) throw unknownMembers(body.members, known);
    await sql`
      insert into chats (app_id, id, kind, name) values (${appId}, ${id}, ${body.kind}, ${body.name ?? null})
      on conflict (app_id, id) do nothing`;
    // The row is locked from here on, so two writers of one chat take turns.
    const [chat] = await sql<{ kind: string; called: boolean }[]>`
      select kind, exists (select from calls where app_id = ${appId} and chat_id = ${id}) as called
      from chats where app_id = ${appId} and id = ${id} for update`;
    const before = await sql<{ id: string }[]>`
      select user_id as id from chat_members where app_id = ${appId} and chat_id = ${id}`;
    if (chat?.called && !(chat.kind === body.kind && sameMembers(before, body.members))) {
      throw new VerbatimError(
        'conflict',
        'a direct chat that has had calls keeps its kind and its two members',
      );
    }
    await sql`
      update chats set kind = ${body.kind}, name = ${body.name ?? null}, owner_id = ${owner ?? null},
        private = ${body.private ?? false}, deleted_at = null, updated_at = now()
      where app_id = ${appId} and id = ${id}`;
    await sql`
      delete from chat_members
      where app_id = ${appId} and chat_id = ${id} and not (user_id = any(${body.members}))`;
    await sql`
      insert into chat_members (app_id, chat_id, user_id)
      select ${appId}, ${id}, member from unnest(${body.members}::text[]) as member
      on conflict do nothing`;
  });
  return { id, ...body };
}

/** A chat that exists and is not deleted. */
export async function findChat(db: Database, appId: string, id: string): Promise<Chat | undefined> {
  const [row] = await db.sql<
    {
      kind: Chat['kind'];
      name: string | null;
      members: string[];
      ownerId: string | null;
      private: boolean;
    }[]
  >`
    select c.kind, c.name, c.owner_id as "ownerId", c.private, coalesce(array_agg(m.user_id order by m.user_id)
      filter (where m.user_id is not null), '{}') as members
    from chats c left join chat_members m on m.app_id = c.app_id and m.chat_id = c.id
    where c.app_id = ${appId} and c.id = ${id} and c.deleted_at is null
    group by c.app_id, c.id`;
  if (row === undefined) return undefined;
  return {
    id,
    kind: row.kind,
    ...(row.name === null ? {} : { name: row.name }),
    members: row.members,
    ...(row.ownerId === null ? {} : { owner: row.ownerId }),
    ...(row.private ? { private: true } : {}),
  };
}

/** Closes a chat for calls. Its recordings stay with their parties. False when there is no such chat. */
export async function deleteChat(db: Database, appId: string, id: string): Promise<boolean> {
  const rows = await db.sql`
    update chats set deleted_at = now(), updated_at = now()
    where app_id = ${appId} and id = ${id} and deleted_at is null
    returning id`;
  return rows.length === 1;
}

function sameMembers(before: readonly { id: string }[], after: readonly string[]): boolean {
  return before.length === after.length && before.every((member) => after.includes(member.id));
}

function unknownMembers(members: readonly string[], known: readonly { id: string }[]): VerbatimError {
  const ids = new Set(known.map((row) => row.id));
  const missing = members.filter((id) => !ids.has(id));
  const named = missing.slice(0, MAX_NAMED_USERS).join(', ');
  return new VerbatimError(
    'bad_request',
    `body/members: put these users first: ${named}${missing.length > MAX_NAMED_USERS ? ', …' : ''}`,
  );
}
