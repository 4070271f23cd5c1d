-- +goose Up
-- The watch list that the leaves were read with which are not proven yet: with another one they are read again.
ALTER TABLE read_bytes ADD COLUMN watch_list TEXT NOT NULL DEFAULT '';
