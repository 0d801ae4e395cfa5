//! Every scenario of Tarn, in one test binary: it links once and shares one S3 server.

/// Tokens, audit and TLS over real services.
mod access;
/// Twins as Automerge's own package for JavaScript sees them.
mod automerge_js;
/// A store that refuses, breaks, lies or hangs.
mod bad_disk;
mod bad_store;
/// An existing broker that the box is a client of.
mod bridge;
/// The MQTT clients that people use, in both versions and over every transport.
mod client_matrix;
/// Real MQTT clients of both versions.
mod clients;
/// Clients that are generated from the OpenAPI documents, and the documents themselves.
mod clients_generated;
/// A home that is one in the cloud and at its box.
mod cloud_twins;
/// What docker-compose.yml says, as plain processes.
mod compose;
/// The standard's statements, one by one.
mod conformance;
/// What the documents say: snippets, links, commands, figures.
mod cookbook;
/// Backups that come back, clones, and boxes that replace others.
mod copies;
/// A real browser on the dashboard.
mod dashboard;
/// The demo that a newcomer runs first.
mod demo;
/// Devices as they come: learnt, read, set, counted, merged.
mod devices;
/// A full disk: nothing acked is lost, or all that is lost is told.
mod full_disk;
/// Any bytes at all.
mod fuzz;
/// The harness itself: that its readers, checker and faults do what scenarios rely on.
mod harness;
/// Power cuts under load lose nothing and store nothing twice.
mod kill;
/// Boxes that meet without a cloud.
mod lan;
/// What happens, as it happens.
mod live;
/// A message from a device to an analyst and to an app.
mod main_road;
/// What an operator sees and may do.
mod operator;
/// Retained messages, many and large.
mod retained;
/// Rules, and the alarms that they raise.
mod rules;
/// The scenes that Tarn is for.
mod scenes;
/// Copies that are damaged, and mended.
mod scrub;
/// Simulated homes as an app sees them.
mod simulated;
/// Sessions through many power cuts.
mod sleepers;
/// Chunks over several stores: copies, outages, stores that come and go.
mod store_set;
/// Every kind of store, and a box as one.
mod stores;
/// No ack before the disk.
mod sync_order;
/// What is asked at a terminal.
mod terminal;
/// Twins in a bucket of a real S3 server.
mod twin_store;
/// The box's twins: what is named, told and wanted, over power cuts, peers and a bucket.
mod twins;
/// Boxes and clouds that meet.
mod uplink;
/// Who may come in, and what each may do.
mod users;
