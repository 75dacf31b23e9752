//! What every state machine here shares: declared edges, named guards, decisions.
