/** Pages that are told of changes at a time: each costs a connection. */
export const MAX_LISTENERS = 16
/** Milliseconds between two looks at what there is to tell, while anybody listens. */
export const LOOK_MS = 1_000
