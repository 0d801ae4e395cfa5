//! Whole notifiers with real files and real sockets.

mod delivery;
mod house;
mod http_server;
mod kill;
mod smtp_server;
mod stop;
mod webhook;
