import java.net.InetSocketAddress;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.handler.ContextHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBRequestHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBServerHandler;

/** DynamoDB Local, in memory, on 127.0.0.1 alone: its own command line listens on every interface. */
public class Loopback {
    public static void main(String[] port) throws Exception {
        LocalDynamoDBRequestHandler requests = new LocalDynamoDBRequestHandler(0, true, null, false, false);
        ContextHandler context = new ContextHandler();
        context.setHandler(new LocalDynamoDBServerHandler(requests, null));
        Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(port[0])));
        server.setHandler(context);
        server.start();
        server.join();
    }
}
