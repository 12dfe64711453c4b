import type postgres from 'postgres';

/** What our columns become in JavaScript beside the driver's defaults: bigint is a number (sizes, durations). */
type ColumnTypes = { bigint: number };

/** The connection pool. */
export type Sql = postgres.Sql<ColumnTypes>;
/** The connection of one open transaction. */
export type TransactionSql = postgres.TransactionSql<ColumnTypes>;
/** What a query needs: works with the pool and inside a transaction alike. */
export type Queryable = postgres.ISql<ColumnTypes>;
