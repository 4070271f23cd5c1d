package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what the binary knows of itself, from the build info that Go stamps into it.
type versionInfo struct {
	Schema   string `json:"schema"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	BuiltAt  string `json:"commit_time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildVersion reads the build info.
func buildVersion() versionInfo {
	v := versionInfo{Schema: "version/1", Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		case "vcs.time":
			v.BuiltAt = s.Value
		}
	}
	return v
}

func (a *app) versionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if g.json {
				return a.printJSON(v)
			}
			line(a.stdout, "monitor %s", v.Version)
			if v.Revision != "" {
				modified := ""
				if v.Modified {
					modified = ", modified"
				}
				line(a.stdout, "revision %s of %s%s", v.Revision, v.BuiltAt, modified)
			}
			line(a.stdout, "%s %s", v.Go, v.Platform)
			return nil
		},
	}
}
