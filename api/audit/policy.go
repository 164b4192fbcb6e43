package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Policy says how much is kept of a request: the first of its rules that the request matches.
type Policy struct{ policy auditv1.Policy }

// Decision is a policy's word on one request.
type Decision struct {
	Level             auditv1.Level
	OmitStages        []auditv1.Stage
	OmitManagedFields bool
}

// Attributes are what rules look at.
type Attributes struct {
	User        string
	Groups      []string
	Verb        string
	Path        string // for requests that are about no resource
	APIGroup    string
	APIVersion  string
	Resource    string // "" when the request is about none
	Subresource string
	Namespace   string
	Name        string
}

// publicPaths are asked all the time, by anyone, and say nothing of the cluster.
var publicPaths = []string{"/healthz*", "/livez*", "/readyz*", "/version"}

// Metadata is the policy that keeps all but bodies, and leaves out requests for the server's health.
func Metadata() *Policy {
	return &Policy{auditv1.Policy{Rules: []auditv1.PolicyRule{
		{Level: auditv1.LevelNone, NonResourceURLs: publicPaths},
		{Level: auditv1.LevelMetadata},
	}}}
}

// ReadPolicy reads a Policy of audit.k8s.io/v1 from a file of YAML or JSON.
func ReadPolicy(path string) (*Policy, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the audit policy: %w", err)
	}
	p := &Policy{}
	doc, err := yaml.YAMLToJSONStrict(content)
	if err == nil {
		var strict []error
		strict, err = kjson.UnmarshalStrict(doc, &p.policy)
		err = errors.Join(err, errors.Join(strict...))
	}
	if err == nil {
		err = p.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("audit policy %s: %w", path, err)
	}
	return p, nil
}

func (p *Policy) validate() error {
	if p.policy.APIVersion != auditv1.SchemeGroupVersion.String() || p.policy.Kind != "Policy" {
		return fmt.Errorf("it is a %q of %q, want a Policy of audit.k8s.io/v1", p.policy.Kind, p.policy.APIVersion)
	}
	if len(p.policy.Rules) == 0 {
		return fmt.Errorf("rules: there is none, so nothing would be kept")
	}
	if err := knownStages("omitStages", p.policy.OmitStages); err != nil {
		return err
	}
	for i := range p.policy.Rules {
		if err := validateRule(&p.policy.Rules[i]); err != nil {
			return fmt.Errorf("rules[%d].%w", i, err)
		}
	}
	return nil
}

func validateRule(r *auditv1.PolicyRule) error {
	switch r.Level {
	case auditv1.LevelNone, auditv1.LevelMetadata, auditv1.LevelRequest, auditv1.LevelRequestResponse:
	default:
		return fmt.Errorf("level: %q is none of None, Metadata, Request and RequestResponse", r.Level)
	}
	if len(r.NonResourceURLs) > 0 && (len(r.Resources) > 0 || len(r.Namespaces) > 0) {
		return fmt.Errorf("nonResourceURLs: a rule cannot be about these and about resources or namespaces")
	}
	for _, url := range r.NonResourceURLs {
		if url != "*" && (!strings.HasPrefix(url, "/") || strings.Contains(strings.TrimSuffix(url, "*"), "*")) {
			return fmt.Errorf("nonResourceURLs: %q: want a path, or one that ends with *", url)
		}
	}
	return knownStages("omitStages", r.OmitStages)
}

func knownStages(field string, stages []auditv1.Stage) error {
	for _, s := range stages {
		switch s {
		case auditv1.StageRequestReceived, auditv1.StageResponseStarted, auditv1.StageResponseComplete, auditv1.StagePanic:
		default:
			return fmt.Errorf("%s: %q is none of RequestReceived, ResponseStarted, ResponseComplete and Panic", field, s)
		}
	}
	return nil
}

// Decide finds the first rule that is about the request. What no rule is about is not kept.
func (p *Policy) Decide(a *Attributes) Decision {
	for i := range p.policy.Rules {
		r := &p.policy.Rules[i]
		if !matches(r, a) {
			continue
		}
		omit := p.policy.OmitManagedFields
		if r.OmitManagedFields != nil {
			omit = *r.OmitManagedFields
		}
		return Decision{r.Level, slices.Concat(p.policy.OmitStages, r.OmitStages), omit}
	}
	return Decision{Level: auditv1.LevelNone}
}

func matches(r *auditv1.PolicyRule, a *Attributes) bool {
	named := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	inGroup := func(group string) bool { return slices.Contains(a.Groups, group) }
	if !named(r.Users, a.User) || !named(r.Verbs, a.Verb) || len(r.UserGroups) > 0 && !slices.ContainsFunc(r.UserGroups, inGroup) {
		return false
	}
	switch {
	case len(r.Namespaces) > 0 || len(r.Resources) > 0:
		return a.Resource != "" && named(r.Namespaces, a.Namespace) &&
			(len(r.Resources) == 0 || slices.ContainsFunc(r.Resources, func(g auditv1.GroupResources) bool { return matchesResource(g, a) }))
	case len(r.NonResourceURLs) > 0:
		return a.Resource == "" && slices.ContainsFunc(r.NonResourceURLs, func(url string) bool { return matchesPath(url, a.Path) })
	}
	return true
}

func matchesResource(g auditv1.GroupResources, a *Attributes) bool {
	if g.Group != a.APIGroup {
		return false
	}
	if len(g.Resources) == 0 {
		return true
	}
	full := a.Resource
	if a.Subresource != "" {
		full += "/" + a.Subresource
	}
	return slices.ContainsFunc(g.Resources, func(wanted string) bool {
		if len(g.ResourceNames) > 0 && !slices.Contains(g.ResourceNames, a.Name) {
			return false
		}
		return wanted == "*" || wanted == full ||
			a.Subresource != "" && (wanted == "*/"+a.Subresource || wanted == a.Resource+"/*")
	})
}

func matchesPath(url, path string) bool {
	prefix, open := strings.CutSuffix(url, "*")
	return url == path || open && strings.HasPrefix(path, prefix)
}
