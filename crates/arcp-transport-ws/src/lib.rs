//! ARCP over WebSocket: client (ws:// and wss://) and server.
