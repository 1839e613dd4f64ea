// The main job by the client of @hey-api/openapi-ts: `hey.js URL KEY NAME`.
import { agentsCreate, agentsLaunch, manifestsApply, threadsGet, threadsSendMessage } from "./hey/index";
import type { ManifestDocuments } from "./hey/index";
import { client } from "./hey/client.gen";

const [baseUrl, auth, name] = process.argv.slice(2) as [string, string, string];
client.setConfig({ baseUrl, auth, throwOnError: true });
const throwOnError = true as const;
const text = (words: string) => [{ content_type: "text" as const, text: words }];

async function settle(thread_id: string): Promise<string[]> {
    for (;;) {
        const { data: { data: thread } } = await threadsGet({ path: { thread_id }, throwOnError });
        if (thread.status === "user_turn") {
            return (thread.messages ?? []).map(({ content: [block] }) =>
                block?.content_type === "text" ? block.text : "",
            );
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

async function main(): Promise<void> {
    const { data: { data: agent } } = await agentsCreate({
        headers: { "idempotency-key": name },
        body: {
            name,
            request_template: {
                messages: [{ role: "user", content: text("Tell me about {{topic}}.") }],
            },
            variables: [{ name: "topic" }],
        },
        throwOnError,
    });
    const { data: { data: { thread_id } } } = await agentsLaunch({
        path: { agent_id: agent.agent_id },
        body: { values: { topic: "tea" } },
        throwOnError,
    });
    await settle(thread_id);
    await threadsSendMessage({
        path: { thread_id },
        body: { message: { content: text("And rum?") } },
        throwOnError,
    });
    console.log(JSON.stringify(await settle(thread_id)));

    const documents: ManifestDocuments[] = [
        `apiVersion: statewright/v1\nkind: Dataset\nmetadata:\n  name: ${name}\nspec: {}\n`,
        {
            apiVersion: "statewright/v1",
            kind: "Dataset",
            metadata: { name },
            spec: { properties: { room: "9" } },
        },
    ];
    for (const body of documents) {
        const { data: { data } } = await manifestsApply({ body, throwOnError });
        console.log((data as { operation: string }).operation);
    }
}

void main();
