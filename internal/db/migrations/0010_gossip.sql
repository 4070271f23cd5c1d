-- +goose Up
-- A checkpoint of a bundle is related to the tree of the log whose key signed it: one of a tree that the log does not list has
-- no other tie to it.
ALTER TABLE gossip ADD COLUMN log_id TEXT NOT NULL DEFAULT ''; -- hex key id
UPDATE gossip SET log_id = coalesce((SELECT e.log_id FROM attestation_entries a JOIN entries e ON e.id = a.entry_id WHERE a.gossip_id = gossip.id LIMIT 1), '');
CREATE INDEX gossip_by_log ON gossip (log_id, outcome);
