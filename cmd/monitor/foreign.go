package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

// keepDigests has it kept what a log's entries say was signed, if the configuration wants that.
func keepDigests(t *audit.LogTarget, cfg *config.Config, scanner *rekor.Scanner, foreign func(uint64, []byte) (audit.LogHit, bool)) {
	if cfg.Logs.KeepDigests > 0 {
		t.KeepDigests, t.Digest, t.Foreign = cfg.Logs.KeepDigests, scanner.DigestPrefix, foreign
	}
}

// addForeign says of which entries it was looked at whether somebody else signed the projects' files.
func (s *statusAnswer) addForeign(ctx context.Context, record *db.DB, logs []audit.LogFacts) error {
	seen, err := record.SeenSince(ctx)
	if err != nil {
		return err
	}
	for _, l := range logs {
		if !strings.HasPrefix(l.Kind, "rekor-") || !l.Known {
			continue
		}
		text := fmt.Sprintf("log %s: whether others signed the projects' files was not looked at: logs.keep_digests is not set", l.Origin)
		if since, ok := seen[l.Origin]; ok {
			text = fmt.Sprintf("log %s: whether others signed the projects' files was looked at from entry %d on, read since %s (%d bytes are kept for it)", l.Origin, since.From, when(since.At), since.Bytes)
		}
		s.Coverage = append(s.Coverage, text)
	}
	return nil
}
