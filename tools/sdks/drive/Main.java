import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.AgentsApi;
import org.openapitools.client.api.ManifestsApi;
import org.openapitools.client.api.ThreadsApi;
import org.openapitools.client.model.*;

/** Drives the main job by the Java client of openapi-generator: `Main URL KEY NAME`. */
public class Main {
    private static List<AgentText> text(String words) {
        return List.of(new AgentText().text(words));
    }

    private static List<String> settle(ThreadsApi threads, String threadId) throws Exception {
        while (true) {
            AgentThreadRecord thread = threads.threadsGet(threadId, true).getData();
            if ("user_turn".equals(thread.getStatus())) {
                return thread.getMessages().stream()
                        .map(message -> message.getContent().get(0).getAgentTextContent().getText())
                        .toList();
            }
            Thread.sleep(50);
        }
    }

    public static void main(String[] arguments) throws Exception {
        String key = arguments[1];
        String name = arguments[2];
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        client.setRequestInterceptor(
                request -> request.header("Authorization", "Bearer " + key));
        AgentsApi agents = new AgentsApi(client);
        ThreadsApi threads = new ThreadsApi(client);
        ManifestsApi manifests = new ManifestsApi(client);

        InitialMessage opening =
                new InitialMessage()
                        .role(InitialMessage.RoleEnum.USER)
                        .content(text("Tell me about {{topic}}."));
        CreateAgentRequest request =
                new CreateAgentRequest()
                        .name(name)
                        .requestTemplate(new StartAgentThreadRequest().messages(List.of(opening)))
                        .variables(List.of(new TemplateVariable().name("topic")));
        AgentRecord agent = agents.agentsCreate(request, name).getData();
        LaunchAgentRequest launch = new LaunchAgentRequest().values(Map.of("topic", "tea"));
        String threadId =
                agents.agentsLaunch(agent.getAgentId(), launch, null).getData().getThreadId();
        settle(threads, threadId);
        threads.threadsSendMessage(
                threadId,
                new SendMessageRequest().message(new UserMessage().content(text("And rum?"))),
                null);
        ObjectMapper json = new ObjectMapper();
        System.out.println(json.writeValueAsString(settle(threads, threadId)));

        String yaml =
                "apiVersion: statewright/v1\nkind: Dataset\nmetadata:\n  name: "
                        + name
                        + "\nspec: {}\n";
        Map<String, Object> document =
                Map.of(
                        "apiVersion", "statewright/v1",
                        "kind", "Dataset",
                        "metadata", Map.of("name", name),
                        "spec", Map.of("properties", Map.of("room", "9")));
        for (String body : List.of(yaml, json.writeValueAsString(document))) {
            Object data = manifests.manifestsApply(body, null, null, null, null).getData();
            System.out.println(((Map<?, ?>) data).get("operation"));
        }
    }
}
