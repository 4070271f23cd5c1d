-- +goose Up
-- A log may contradict itself in more than one way at a time: each contradiction is an incident of its own, so far as there
-- is room.
ALTER TABLE log_incidents ADD COLUMN contradiction TEXT NOT NULL DEFAULT ''; -- names it among those of its kind
ALTER TABLE log_incidents ADD COLUMN unkept INTEGER NOT NULL DEFAULT 0;      -- sightings of further ones, counted with the first

-- What a log took back is looked up by what rests on it.
CREATE INDEX hits_by_entry ON hits (entry_id);
CREATE INDEX hits_by_certificate ON hits (certificate_id);
CREATE INDEX attestation_entries_by_entry ON attestation_entries (entry_id);
