package main

import (
	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
)

// filesAnswer is the JSON of files.
type filesAnswer struct {
	Schema string          `json:"schema"`
	Files  []db.ListedFile `json:"files"`
}

func (a *app) filesCommand(g *globals) *cobra.Command {
	var filter db.FileFilter
	c := &cobra.Command{
		Use:   "files",
		Short: "List the distribution files in the record, with their state",
		Long: `files lists distribution files with their state: verified (attested as the policy expects), legacy (from before the
project signed), unsigned, wrong (attested, but not as it should be), unknown (could not be judged), gone. SLSA is the level of
the Build track that the evidence is consistent with: L0 to L3, or unevaluated where a source of provenance was not read.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, s := range filter.States {
				switch audit.FileState(s) {
				case audit.FileVerified, audit.FileLegacy, audit.FileUnsigned, audit.FileWrong, audit.FileUnknown, audit.FileGone:
				default:
					return usage("--state %q: use verified, legacy, unsigned, wrong, unknown or gone", s)
				}
			}
			_, record, err := g.openRecord(c.Context())
			if err != nil {
				return err
			}
			defer record.Close()
			files := []db.ListedFile{}
			if err := record.Files(c.Context(), filter, func(f db.ListedFile) error {
				files = append(files, f)
				return nil
			}); err != nil {
				return err
			}
			if g.json {
				return a.printJSON(filesAnswer{"files/1", files})
			}
			var rows [][]string
			for _, f := range files {
				slsa := "-"
				if f.SLSA != nil {
					slsa = string(f.SLSA.Build)
				}
				rows = append(rows, []string{f.Index + "/" + f.PyPIProject, f.Release, string(f.State), f.Grade, f.Provenance, f.GitHub, slsa, f.ReleaseStates, f.File})
			}
			if err := a.table([]string{"PROJECT", "RELEASE", "STATE", "GRADE", "INDEX HAS", "GITHUB HAS", "SLSA", "RELEASE'S PROVENANCE", "FILE"}, rows); err != nil {
				return err
			}
			line(a.stdout, "%s", plural(len(files), "file"))
			return nil
		},
	}
	c.Flags().StringVar(&filter.PyPIProject, "project", "", "only files of this PyPI project (`NAME` or INDEX/NAME)")
	c.Flags().StringVar(&filter.Release, "release", "", "only files of this `VERSION`")
	c.Flags().StringSliceVar(&filter.States, "state", nil, "only files in these states")
	c.Flags().StringVar(&filter.SHA256, "sha256", "", "only files with this digest (`HEX`)")
	return c
}
