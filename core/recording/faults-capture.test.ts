import t from 'tap';
import { testFaults } from '../test/fault-table.ts';
import { migrateQueue } from './backend.ts';

// The rows of the fault table at the steps of the recorder while its call is recorded, and at its end.
const migrate = (databaseUrl: string) => migrateQueue({ databaseUrl });
await testFaults(t, 'capture', migrate, (since) => since !== undefined);
