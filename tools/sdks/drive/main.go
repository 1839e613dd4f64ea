// Drives the main job by the Go client of openapi-generator: `main URL KEY NAME`.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	statewright "statewright"
)

func must[T any](value T, _ any, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func text(words string) []statewright.AgentText {
	return []statewright.AgentText{*statewright.NewAgentText(words)}
}

func main() {
	url, key, name := os.Args[1], os.Args[2], os.Args[3]
	configuration := statewright.NewConfiguration()
	configuration.Servers = statewright.ServerConfigurations{{URL: url}}
	client := statewright.NewAPIClient(configuration)
	ctx := context.WithValue(context.Background(), statewright.ContextAccessToken, key)

	template := statewright.NewStartAgentThreadRequest()
	opening := statewright.NewInitialMessage("user", text("Tell me about {{topic}}."))
	template.SetMessages([]statewright.InitialMessage{*opening})
	request := statewright.NewCreateAgentRequest(name, *template)
	request.SetVariables([]statewright.TemplateVariable{*statewright.NewTemplateVariable("topic")})
	agent := must(client.AgentsAPI.AgentsCreate(ctx).
		CreateAgentRequest(*request).IdempotencyKey(name).Execute()).Data
	launch := statewright.NewLaunchAgentRequest()
	launch.SetValues(map[string]string{"topic": "tea"})
	thread := must(client.AgentsAPI.AgentsLaunch(ctx, agent.AgentId).
		LaunchAgentRequest(*launch).Execute()).Data

	settle := func() []string {
		for {
			read := must(client.ThreadsAPI.ThreadsGet(ctx, thread.ThreadId).Execute()).Data
			if read.Status == "user_turn" {
				var texts []string
				for _, message := range read.Messages {
					texts = append(texts, message.Content[0].AgentTextContent.Text)
				}
				return texts
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	settle()
	message := statewright.NewSendMessageRequest()
	message.SetMessage(*statewright.NewUserMessage(text("And rum?")))
	must(client.ThreadsAPI.ThreadsSendMessage(ctx, thread.ThreadId).
		SendMessageRequest(*message).Execute())
	said, _ := json.Marshal(settle())
	fmt.Println(string(said))

	yaml := fmt.Sprintf(
		"apiVersion: statewright/v1\nkind: Dataset\nmetadata:\n  name: %s\nspec: {}\n", name)
	document, _ := json.Marshal(map[string]any{
		"apiVersion": "statewright/v1",
		"kind":       "Dataset",
		"metadata":   map[string]any{"name": name},
		"spec":       map[string]any{"properties": map[string]any{"room": "9"}},
	})
	for _, body := range []string{yaml, string(document)} {
		answer := must(client.ManifestsAPI.ManifestsApply(ctx).Body(body).Execute())
		fmt.Println(answer.Data.(map[string]any)["operation"])
	}
}
