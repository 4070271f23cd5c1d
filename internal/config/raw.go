package config

// The types below are the file's form: decode.go fills them from YAML, and the JSON Schema is made
// from them, so the two cannot disagree about a key. The tags mean:
//
//   - yaml: the key;
//   - jsonschema: "required" and "minItems=1" bind the decoder and the schema alike;
//   - jsonschema_description: what the key is for, in the schema;
//   - example: what the decoder tells someone to write who left a required key out.
//
// A field At holds where its mapping stands, and nothing where there is none.

type rawConfig struct {
	At           position          `yaml:"-"`
	Database     pathText          `yaml:"database" jsonschema_description:"Path of the record, an SQLite file that is made where it is missing; monitor.db by default. Relative paths start at this file's folder."`
	Trust        []rawTrust        `yaml:"trust" jsonschema:"minItems=1" example:"trust: [{tuf: https://tuf-repo-cdn.sigstore.dev}]" jsonschema_description:"Where trusted roots come from; several may be listed. Sigstore's public TUF repository by default."`
	Indexes      entries[rawIndex] `yaml:"indexes" jsonschema_description:"Package indexes by name. pypi and testpypi are known without being listed; an entry of their name changes them."`
	Contact      contactText       `yaml:"contact" jsonschema_description:"Whom the operators of the servers may write to: an https URL or an e-mail address. It goes into the user agent."`
	AllowHTTP    []hostText        `yaml:"allow_http" jsonschema_description:"Hosts that may be spoken to in plain http. Loopback addresses always may."`
	Budgets      entries[rateText] `yaml:"budgets" jsonschema_description:"How many requests each host gets, by HOST or HOST:PORT, as N/s, N/min, N/hour or N/day."`
	RecheckAfter durationText      `yaml:"recheck_after" jsonschema_description:"Age at which a provenance document is asked for again, such as 168h or 7d; 168h by default."`
	Logs         *rawLogs          `yaml:"logs" jsonschema_description:"Which transparency logs are followed, and from where."`
	GitHub       *rawGitHub        `yaml:"github" jsonschema_description:"How GitHub's attestation store is read."`
	Projects     []rawProject      `yaml:"projects" jsonschema:"required,minItems=1" example:"projects: [{name: …, pypi: […], repository: {…}, grades: […]}]" jsonschema_description:"The software projects to watch."`
	Rules        entries[rawRule]  `yaml:"rules" jsonschema_description:"What is changed about rules, by rule id."`
	Schedules    *rawSchedules     `yaml:"schedules" jsonschema_description:"When monitor run does what."`
	Listen       listenText        `yaml:"listen" jsonschema_description:"Where monitor run answers for its health, as HOST:PORT, or off; 127.0.0.1:8080 by default."`
	Alerts       *rawAlerts        `yaml:"alerts" jsonschema_description:"The channels that findings are sent through."`
}

type rawTrust struct {
	At          position `yaml:"-"`
	TUF         urlText  `yaml:"tuf" jsonschema_description:"URL of a TUF repository that has a trusted_root.json. Either this or trusted_root."`
	RootFile    pathText `yaml:"root_file" jsonschema_description:"Path of the TUF repository's initial root.json, for a repository other than Sigstore's."`
	Cache       pathText `yaml:"cache" jsonschema_description:"Folder for the TUF repository's metadata."`
	TrustedRoot pathText `yaml:"trusted_root" jsonschema_description:"Path of a trusted_root.json, for use without a network. Either this or tuf."`
}

type rawIndex struct {
	At    position   `yaml:"-"`
	URL   urlText    `yaml:"url" jsonschema_description:"Where the index's /simple/ and /integrity/ are found. Required except for pypi and testpypi."`
	Files []hostText `yaml:"files" jsonschema_description:"Further hosts that the URLs of files may have; the index's own host always may be used."`
}

type rawProject struct {
	At             position      `yaml:"-"`
	Name           nameText      `yaml:"name" jsonschema:"required" example:"name: my-project" jsonschema_description:"The project's name in findings and reports."`
	PyPI           []pypiText    `yaml:"pypi" jsonschema:"required,minItems=1" example:"pypi: [my-package]" jsonschema_description:"The index projects that it ships: NAME on pypi, or INDEX/NAME."`
	Issuer         issuerText    `yaml:"issuer" jsonschema_description:"The OIDC issuer of the project's certificates, compared byte for byte; that of GitHub Actions by default."`
	Repository     rawRepository `yaml:"repository" jsonschema:"required" example:"repository: {name: OWNER/NAME}" jsonschema_description:"The repository in whose name is signed."`
	AlsoWatch      *rawAlsoWatch `yaml:"also_watch" jsonschema_description:"Further names that the logs are searched for. What is signed in them is recorded, and is a finding only where it is on a file of the project."`
	ExpectRemovals []pypiText    `yaml:"expect_removals" jsonschema_description:"Those of the project's index projects whose releases are removed on purpose."`
	Builders       []rawBuilder  `yaml:"builders" jsonschema_description:"The root-of-trust table: workflows that may build and sign for the project besides its own top-level ones."`
	Claims         []rawClaim    `yaml:"claims" jsonschema_description:"What the project says of its releases; the evidence is held against it."`
	Grades         []rawGrade    `yaml:"grades" jsonschema:"required,minItems=1" example:"grades: [{name: release, workflow: …, refs: […], triggers: […], environment: …, publishes: …}]" jsonschema_description:"The purposes that the repository signs for. Whatever fits no grade is an unexpected identity."`
}

type rawRepository struct {
	At      position       `yaml:"-"`
	Name    repositoryText `yaml:"name" jsonschema:"required" example:"name: OWNER/NAME" jsonschema_description:"OWNER/NAME on GitHub."`
	ID      numberText     `yaml:"id" jsonschema_description:"The repository's numeric id (https://api.github.com/repos/OWNER/NAME shows it). Names can be registered again, ids cannot."`
	OwnerID numberText     `yaml:"owner_id" jsonschema_description:"The numeric id of the repository's owner."`
	IDs     idStateText    `yaml:"ids" jsonschema_description:"Whether somebody has checked the ids; confirmed by default. A mismatch of unconfirmed ids informs and does not page."`
}

type rawGrade struct {
	At           position            `yaml:"-"`
	Name         nameText            `yaml:"name" jsonschema:"required" example:"name: release" jsonschema_description:"The grade's name, unique in the project."`
	Workflow     workflowText        `yaml:"workflow" jsonschema:"required" example:"workflow: release.yml" jsonschema_description:"File name of the top-level workflow below .github/workflows/."`
	Refs         []refText           `yaml:"refs" jsonschema:"required,minItems=1" example:"refs: ['refs/heads/main']" jsonschema_description:"RE2 patterns of the source ref; each has to match the whole ref. A group (?P<version>…) has to equal the version of what is published."`
	Triggers     []triggerText       `yaml:"triggers" jsonschema:"required,minItems=1" example:"triggers: [workflow_dispatch]" jsonschema_description:"GitHub events that may start the workflow."`
	Environment  environmentText     `yaml:"environment" jsonschema:"required" example:"environment: none" jsonschema_description:"Deployment environment of the signing job: its name, none or any."`
	Runner       runnerText          `yaml:"runner" jsonschema_description:"Where the job may run; github-hosted by default."`
	Publishes    oneOrMore[pypiText] `yaml:"publishes" jsonschema_description:"The index projects that the grade may sign for: NAME on pypi, or INDEX/NAME. Left out, it may sign but nothing that it signs may be on an index."`
	PublishSince *rawSince           `yaml:"publish_since" jsonschema_description:"From when on each file has to carry a publish attestation; from ever where left out."`
	SLSASince    *rawSince           `yaml:"slsa_since" jsonschema_description:"From when on each file has to have SLSA provenance; never where left out."`
	Expect       *rawExpect          `yaml:"expect" jsonschema_description:"How often something of the grade happens, where somebody counts on it; nothing is expected where left out."`
}

type rawSince struct {
	At       position    `yaml:"-"`
	Version  versionText `yaml:"version" jsonschema_description:"First version (PEP 440) that the duty holds for. A file is exempt only if its version is below this one and it was uploaded before the date."`
	Uploaded dateText    `yaml:"uploaded" jsonschema:"required" example:"uploaded: 2025-08-01" jsonschema_description:"First day (UTC) or instant (RFC 3339) that the duty holds for."`
}

type rawExpect struct {
	At     position     `yaml:"-"`
	Every  durationText `yaml:"every" jsonschema:"required" example:"every: 7d" jsonschema_description:"How long after the last time the next is due, such as 7d."`
	Within durationText `yaml:"within" jsonschema:"required" example:"within: 2d" jsonschema_description:"How much later it may be, such as 2d."`
}

type rawBuilder struct {
	At    position    `yaml:"-"`
	ID    builderText `yaml:"id" jsonschema:"required" example:"id: https://github.com/OWNER/NAME/.github/workflows/FILE@refs/tags/TAG" jsonschema_description:"The workflow, pinned to a tag or a commit, as builder.id and certificates have it."`
	Level levelText   `yaml:"level" jsonschema:"required" example:"level: 3" jsonschema_description:"The highest level of SLSA's Build track that it is trusted at, 1 to 3: whether builds are isolated from what signs is in no certificate."`
}

type rawClaim struct {
	At        position   `yaml:"-"`
	Publishes pypiText   `yaml:"publishes" jsonschema:"required" example:"publishes: my-package" jsonschema_description:"The index project that the claim is about: NAME on pypi, or INDEX/NAME."`
	SLSABuild levelText  `yaml:"slsa_build" jsonschema:"required" example:"slsa_build: 2" jsonschema_description:"The level of SLSA's Build track that is claimed, 1 to 3."`
	Since     *rawSince  `yaml:"since" jsonschema_description:"From when on; every release where left out."`
	Source    sourceText `yaml:"source" jsonschema:"required" example:"source: SECURITY.md" jsonschema_description:"Where the claim stands."`
}

type rawRule struct {
	At       position     `yaml:"-"`
	Severity severityText `yaml:"severity" jsonschema_description:"The severity of the rule's findings."`
	Grace    durationText `yaml:"grace" jsonschema_description:"How long the rule waits before it finds something, such as 2h; at most 30d."`
}

// isLater tells whether a key is of the design but not of this version. The path has no indices.
func isLater(path string) bool {
	switch path {
	case "schedules.report", "schedules.backup", "schedules.trust", "report", "retention":
		return true
	}
	return false
}
