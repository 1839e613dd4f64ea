// The main job by the client of openapi-generator's typescript-fetch: `fetch.js URL KEY NAME`.
import { AgentsApi, Configuration, ManifestsApi, ThreadsApi } from "./typescript-fetch/index";

const [basePath, accessToken, name] = process.argv.slice(2) as [string, string, string];
const configuration = new Configuration({ basePath, accessToken });
const agents = new AgentsApi(configuration);
const threads = new ThreadsApi(configuration);
const manifests = new ManifestsApi(configuration);
const text = (words: string) => [{ contentType: "text" as const, text: words }];

async function settle(threadId: string): Promise<string[]> {
    for (;;) {
        const { data: thread } = await threads.threadsGet({ threadId });
        if (thread.status === "user_turn") {
            return (thread.messages ?? []).map(({ content: [block] }) =>
                block?.contentType === "text" ? block.text : "",
            );
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

async function main(): Promise<void> {
    const agent = await agents.agentsCreate({
        idempotencyKey: name,
        createAgentRequest: {
            name,
            requestTemplate: {
                messages: [{ role: "user", content: text("Tell me about {{topic}}.") }],
            },
            variables: [{ name: "topic" }],
        },
    });
    const { data: { threadId } } = await agents.agentsLaunch({
        agentId: agent.data.agentId,
        launchAgentRequest: { values: { topic: "tea" } },
    });
    await settle(threadId);
    await threads.threadsSendMessage({
        threadId,
        sendMessageRequest: { message: { content: text("And rum?") } },
    });
    console.log(JSON.stringify(await settle(threadId)));

    const yaml =
        `apiVersion: statewright/v1\nkind: Dataset\nmetadata:\n  name: ${name}\nspec: {}\n`;
    const document = {
        apiVersion: "statewright/v1",
        kind: "Dataset",
        metadata: { name },
        spec: { properties: { room: "9" } },
    };
    console.log((await manifests.manifestsApply({ body: yaml })).data.operation);
    console.log((await manifests.manifestsApply({ body: JSON.stringify(document) })).data.operation);
}

void main();
