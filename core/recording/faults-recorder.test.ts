import t from 'tap';
import { testFaults } from '../test/fault-table.ts';
import { migrateQueue } from './backend.ts';

// The rows of the fault table at the steps of the recorder.
await testFaults(t, ['capture'], (databaseUrl) => migrateQueue({ databaseUrl }));
