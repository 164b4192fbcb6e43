package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// passOn lets the node that has the pod answer the request, under the path and query that it knows. The node writes to
// the client's own connection, which exec, attach and port-forward take over.
func (c *call) passOn(pod *corev1.Pod, path string, query url.Values) error {
	if pod.Spec.NodeName == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	return c.forward(pod.Spec.NodeName, &url.URL{Path: path, RawQuery: query.Encode()})
}

// nodeProxy answers any request below a node's proxy subresource with what the node answers.
func nodeProxy(c *call) error {
	if _, err := c.find(""); err != nil {
		return err
	}
	target := *c.r.URL
	prefix := "/api/v1/nodes/" + c.name + "/proxy"
	target.Path = rooted(strings.TrimPrefix(target.Path, prefix))
	if target.RawPath != "" {
		target.RawPath = rooted(strings.TrimPrefix(target.RawPath, prefix))
	}
	return c.forward(c.name, &target)
}

func rooted(path string) string { return "/" + strings.TrimPrefix(path, "/") }

func (c *call) forward(node string, target *url.URL) error {
	if c.cfg.Nodes == nil {
		return unavailable(fmt.Errorf("no node can be reached"))
	}
	handler, err := c.cfg.Nodes.Handler(node)
	if err != nil {
		return unavailable(err)
	}
	r := c.r.Clone(c.ctx())
	r.URL = target
	r.RequestURI = target.RequestURI()
	// The node does not judge clients, and must not mistake them for itself.
	for _, name := range []string{"Authorization", "Impersonate-User"} {
		r.Header.Del(name)
	}
	c.sendWarnings()
	handler.ServeHTTP(upgraded{c.w}, r)
	return nil
}

var _ http.Handler = (*Server)(nil)
