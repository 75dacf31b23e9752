// A program of a user of client-go: each story does what controllers do, and ends with an error where the cluster is not
// as on any Kubernetes.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// No story may take longer.
const storyWithin = 60 * time.Second

// Who asks, and where.
type stage struct {
	config    *rest.Config
	namespace string
}

func main() {
	stories := map[string]func(context.Context, stage) error{
		"controller": runController,
		"leader":     electLeaders,
		"manager":    runManagers,
		"dynamic":    useDynamically,
		"typed":      useTyped,
		"token":      actAsServiceAccount,
	}
	if len(os.Args) == 1 {
		fmt.Println("tell which story to play")
		return
	}
	if len(os.Args) != 2 || stories[os.Args[1]] == nil {
		fail(fmt.Errorf("which story?"))
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{})
	config, err := loader.ClientConfig()
	if err != nil {
		fail(err)
	}
	// As components of Kubernetes do: protobuf first, JSON where a kind has none.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	namespace, _, err := loader.Namespace()
	if err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storyWithin)
	defer cancel()
	if err := stories[os.Args[1]](ctx, stage{config, namespace}); err != nil {
		fail(err)
	}
	fmt.Println("as on any Kubernetes")
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
