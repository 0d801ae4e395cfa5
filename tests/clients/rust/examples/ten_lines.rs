progenitor::generate_api!(spec = "../../../openapi/edge.json", interface = Builder);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let token = format!("Bearer {}", std::env::var("TARN_TOKEN")?).parse()?;
    let headers = [(reqwest::header::AUTHORIZATION, token)]
        .into_iter()
        .collect();
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .build()?;
    let api = Client::new_with_client(&std::env::var("TARN_BOX_URL")?, http);
    let home = std::env::var("TARN_HOME")?;
    for device in &api.list_devices().home(home).send().await?.devices {
        println!("{:?} {:?} {:?}", device.name, device.online, device.room);
    }
    Ok(())
}
