-- +goose Up
-- Judgements of how files were built: the level of SLSA's Build track that the evidence is consistent with (unevaluated, L0 to
-- L3; '' where nothing was judged yet, or the file is gone), and all of the verdict.
ALTER TABLE files ADD COLUMN slsa_build TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN slsa TEXT NOT NULL DEFAULT '';           -- JSON
ALTER TABLE releases ADD COLUMN slsa_build TEXT NOT NULL DEFAULT '';  -- the lowest of its live files
ALTER TABLE releases ADD COLUMN slsa TEXT NOT NULL DEFAULT '';        -- JSON: its live files by level

-- When all that a log had shown was last proven, and how much that was.
ALTER TABLE logs ADD COLUMN level_at INTEGER;
ALTER TABLE logs ADD COLUMN level_index INTEGER NOT NULL DEFAULT 0;
