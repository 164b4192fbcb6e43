package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"covey.dev/covey/api/client"
	"covey.dev/covey/cmd/covey/table"
	"covey.dev/covey/node"
)

// A token is kept as kubeadm keeps its own: in a Secret of this name and type, which the server looks at when a node joins.
const (
	tokenPrefix  = "bootstrap-token-"
	tokensPath   = "/api/v1/namespaces/" + metav1.NamespaceSystem + "/secrets"
	tokenLetters = "abcdefghijklmnopqrstuvwxyz0123456789"
	tokenLife    = 24 * time.Hour
)

func newTokenCommand(base *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token COMMAND",
		Short: "Create, list and delete the tokens that let nodes join",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	base.addFlags(cmd.PersistentFlags())
	cmd.AddCommand(newTokenCreate(base), newTokenList(base), newTokenDelete(base))
	return cmd
}

func newTokenCreate(base *options) *cobra.Command {
	var ttl time.Duration
	var uses int
	var worker bool
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Create a token and print it",
		Example: "  covey start --join 192.0.2.7:7443 --token $(ssh 192.0.2.7 covey token create)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < 0 {
				return fmt.Errorf("--ttl %v: want 0, which is for ever, or more", ttl)
			}
			if uses < 0 {
				return fmt.Errorf("--uses %d: want 0, which is any number, or more", uses)
			}
			return createToken(base, cmd, ttl, uses, worker)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", tokenLife, "how long it is good for; 0 is for ever")
	cmd.Flags().BoolVar(&worker, "worker", false, "let nodes join as workers only, which hold neither the state nor the cluster's key")
	cmd.Flags().IntVar(&uses, "uses", 0, "how many nodes may join with it; 0 is any number")
	return cmd
}

func createToken(base *options, cmd *cobra.Command, ttl time.Duration, uses int, worker bool) error {
	s, err := base.open(cmd)
	if err != nil {
		return err
	}
	ca, err := s.CAFingerprint()
	if err != nil {
		return err
	}
	id, secret := randomText(6), randomText(16)
	object := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: tokenPrefix + id, Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true"},
	}
	if ttl > 0 {
		now, err := s.clusterTime()
		if err != nil {
			return err
		}
		object.StringData["expiration"] = now.Add(ttl).UTC().Format(time.RFC3339)
	}
	if uses > 0 {
		object.StringData["uses"] = strconv.Itoa(uses)
	}
	if worker {
		object.StringData["role"] = "worker"
	}
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	if _, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodPost, Path: tokensPath, Query: managed(), ContentType: client.JSON, Body: bytes.NewReader(body)}); err != nil {
		return err
	}
	s.say("%s.%s.%s", id, secret, ca)
	return nil
}

// clusterTime is the time by which the server that is asked judges tokens and logins. The clock of this machine may be another.
func (s *session) clusterTime() (time.Time, error) {
	var status node.KeysStatus
	if err := s.Into(s.ctx(), client.Request{Path: node.KeysPath}, &status); err != nil {
		return time.Time{}, err
	}
	if status.Now.IsZero() { // an older server does not say
		return time.Now(), nil
	}
	return status.Now, nil
}

// randomText draws n characters, each as likely as the others.
func randomText(n int) string {
	text := make([]byte, 0, n)
	for len(text) < n {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails
		if limit := 256 - 256%len(tokenLetters); int(b[0]) < limit {
			text = append(text, tokenLetters[int(b[0])%len(tokenLetters)])
		}
	}
	return string(text)
}

func newTokenList(base *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the tokens, without their secrets",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return errors.New("unknown output format: there is json")
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			var list corev1.SecretList
			query := url.Values{"fieldSelector": {"type=" + string(corev1.SecretTypeBootstrapToken)}}
			if err := s.Into(s.ctx(), client.Request{Path: tokensPath, Query: query}, &list); err != nil {
				return err
			}
			now, err := s.clusterTime()
			if err != nil {
				return err
			}
			tokens := []listedToken{}
			for i := range list.Items {
				tokens = append(tokens, tokenOf(&list.Items[i], now))
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), tokens)
			}
			p := table.Printer{Out: cmd.OutOrStdout()}
			p.Columns([]metav1.TableColumnDefinition{{Name: "ID"}, {Name: "Expires"}, {Name: "Uses"}, {Name: "Joins as"}, {Name: "Age"}})
			var rows []table.Row
			for _, t := range tokens {
				rows = append(rows, t.row())
			}
			return p.Print(rows)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}

// listedToken is a token without its secret.
type listedToken struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Expires string    `json:"expires,omitempty"` // RFC 3339; not there for one that never does
	Expired bool      `json:"expired"`
	Uses    string    `json:"uses,omitempty"` // that are left; not there for any number
	Role    string    `json:"role,omitempty"` // worker; not there for any
}

func tokenOf(secret *corev1.Secret, now time.Time) listedToken {
	t := listedToken{
		ID: strings.TrimPrefix(secret.Name, tokenPrefix), Created: secret.CreationTimestamp.UTC(),
		Expires: string(secret.Data["expiration"]), Uses: string(secret.Data["uses"]), Role: string(secret.Data["role"]),
	}
	until, err := time.Parse(time.RFC3339, t.Expires)
	t.Expired = err == nil && now.After(until)
	return t
}

func (t listedToken) row() table.Row {
	expires := cmp.Or(t.Expires, "never")
	if t.Expired {
		expires = "expired"
	}
	return table.Row{Cells: []any{t.ID, expires, cmp.Or(t.Uses, "any"), cmp.Or(t.Role, "any"), duration.HumanDuration(time.Since(t.Created))}}
}

func newTokenDelete(base *options) *cobra.Command {
	return &cobra.Command{
		Use:     "delete ID...",
		Aliases: []string{"rm"},
		Short:   "Delete tokens; nodes that joined with them stay",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return forEach(args, func(id string) error {
				id = id[:min(len(id), 6)] // the whole token is as good as its ID
				if _, _, err := s.Do(s.ctx(), client.Request{Method: http.MethodDelete, Path: tokensPath + "/" + tokenPrefix + id}); err != nil {
					return fmt.Errorf("token %s: %w", id, err)
				}
				s.say("Deleted token: %s", id)
				return nil
			})
		},
	}
}
