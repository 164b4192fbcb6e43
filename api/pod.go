package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// defaultContainerAnnotation names the container that commands without one are about.
const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container"

// podLog answers GET on a pod's log.
func podLog(c *call) error {
	query, err := logQuery(c.r.URL.Query())
	if err != nil {
		return err
	}
	pod, container, err := c.podAndContainer()
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		c.w.WriteHeader(http.StatusOK) // nothing was printed yet, and that is no error
		return nil
	}
	return c.passOn(pod, "/containerLogs/"+pod.Namespace+"/"+pod.Name+"/"+container, query)
}

// podExec answers GET and POST on a pod's exec: the connection becomes a stream to a new process.
func podExec(c *call) error {
	if len(c.r.URL.Query()["command"]) == 0 {
		return apierrors.NewBadRequest("you must specify at least one command for the container")
	}
	return c.stream("/exec/")
}

// podAttach answers GET and POST on a pod's attach.
func podAttach(c *call) error { return c.stream("/attach/") }

func (c *call) stream(path string) error {
	query, err := streamQuery(c.r.URL.Query())
	if err != nil {
		return err
	}
	pod, container, err := c.podAndContainer()
	if err != nil {
		return err
	}
	return c.passOn(pod, path+pod.Namespace+"/"+pod.Name+"/"+container, query)
}

// podPortForward answers GET and POST on a pod's portforward.
func podPortForward(c *call) error {
	pod, err := c.pod()
	if err != nil {
		return err
	}
	query := url.Values{}
	for _, name := range []string{"ports", "port"} {
		for _, port := range c.r.URL.Query()[name] {
			query.Add("port", port)
		}
	}
	return c.passOn(pod, "/portForward/"+pod.Namespace+"/"+pod.Name, query)
}

func (c *call) pod() (*corev1.Pod, error) {
	obj, err := c.find("")
	if err != nil {
		return nil, err
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, fmt.Errorf("%s %s is a %T", c.kind.Plural, c.name, obj)
	}
	return pod, nil
}

func (c *call) podAndContainer() (*corev1.Pod, string, error) {
	pod, err := c.pod()
	if err != nil {
		return nil, "", err
	}
	container, err := containerOf(pod, c.r.URL.Query().Get("container"))
	return pod, container, err
}

// containerOf is the container that was asked for, or the one that is meant when none was.
func containerOf(pod *corev1.Pod, asked string) (string, error) {
	main, inits, ephemeral := containerNames(pod)
	if asked != "" {
		if slices.Contains(slices.Concat(main, inits, ephemeral), asked) {
			return asked, nil
		}
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", asked, pod.Name))
	}
	if name := pod.Annotations[defaultContainerAnnotation]; slices.Contains(main, name) {
		return name, nil
	}
	if len(main) == 1 {
		return main[0], nil
	}
	message := fmt.Sprintf("a container name must be specified for pod %s, choose one of: %s", pod.Name, main)
	if len(inits) > 0 {
		message += fmt.Sprintf(" or one of the init containers: %s", inits)
	}
	if len(ephemeral) > 0 {
		message += fmt.Sprintf(" or one of the ephemeral containers: %s", ephemeral)
	}
	return "", apierrors.NewBadRequest(message)
}

func containerNames(pod *corev1.Pod) (main, inits, ephemeral []string) {
	for i := range pod.Spec.Containers {
		main = append(main, pod.Spec.Containers[i].Name)
	}
	for i := range pod.Spec.InitContainers {
		inits = append(inits, pod.Spec.InitContainers[i].Name)
	}
	for i := range pod.Spec.EphemeralContainers {
		ephemeral = append(ephemeral, pod.Spec.EphemeralContainers[i].Name)
	}
	return main, inits, ephemeral
}

// streamQuery turns the API's parameters into those of a node: stdin into input and so on.
func streamQuery(in url.Values) (url.Values, error) {
	out := url.Values{}
	if command := in["command"]; len(command) > 0 {
		out["command"] = command
	}
	wanted := 0
	for _, p := range []struct{ api, node string }{{"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}} {
		on, err := parseBool(in, p.api)
		if err != nil {
			return nil, err
		}
		if on {
			out.Set(p.node, "1")
			if p.api != "tty" {
				wanted++
			}
		}
	}
	if wanted == 0 {
		return nil, apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	}
	return out, nil
}

func parseBool(in url.Values, name string) (bool, error) {
	if !in.Has(name) {
		return false, nil
	}
	value := strings.ToLower(in.Get(name))
	if value == "" {
		return true, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, apierrors.NewBadRequest(fmt.Sprintf("query parameter %s: %q is not a boolean", name, in.Get(name)))
	}
	return on, nil
}
