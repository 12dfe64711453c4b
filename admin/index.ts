// admin: the admin console, a Vue application for the people who run the server.
// Not here: who may do what (the server decides each time), audio of any kind.
// Imported by: nobody; it is built into client/dist/admin and served under /admin/.
export {};
