-- +goose Up
-- A message may tell several changes, and a channel may have a thread for a finding.
ALTER TABLE outbox ADD COLUMN lead INTEGER;                      -- the first row of the parcel in which this was attempted to be sent
ALTER TABLE outbox ADD COLUMN form TEXT NOT NULL DEFAULT '';     -- that parcel's: single, group, digest, summary
ALTER TABLE outbox ADD COLUMN thread TEXT NOT NULL DEFAULT '';   -- the channel's own name for where it was told
ALTER TABLE outbox ADD COLUMN failing_since INTEGER;             -- the first attempt that failed
CREATE INDEX outbox_delivered ON outbox (channel, delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX outbox_by_thread ON outbox (channel, thread) WHERE thread <> '';
CREATE INDEX outbox_by_lead ON outbox (lead);
